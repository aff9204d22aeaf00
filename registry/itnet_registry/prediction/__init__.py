"""Predictions of a checkpoint: inputs of every kind, in batches."""
