"""The commands `itnet train`, `evaluate` and `predict`, and the functions behind them."""
