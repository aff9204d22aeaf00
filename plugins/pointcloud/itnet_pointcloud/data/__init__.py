"""Read, sample and augment point clouds."""
