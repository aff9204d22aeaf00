"""The report of a run: one HTML file with learning curves, the confusion matrix and the worst samples."""
