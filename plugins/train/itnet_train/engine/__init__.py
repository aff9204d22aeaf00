"""The Lightning module and trainer, the optimizer, and the scores of tasks."""
