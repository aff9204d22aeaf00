"""Read graphs from files, and generate them."""
