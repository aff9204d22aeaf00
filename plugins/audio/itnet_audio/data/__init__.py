"""Read, resample and augment recordings."""
