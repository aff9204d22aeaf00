"""What plugin authors and the project's own tests check components with."""
