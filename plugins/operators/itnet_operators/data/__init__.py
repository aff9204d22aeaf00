"""Read fields from files, and generate them."""
