"""Read time series from tables and from `.ts` files, and augment them."""
