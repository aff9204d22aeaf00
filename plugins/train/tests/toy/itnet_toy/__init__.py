"""A tiny plugin: which of three tones a short, noisy signal is."""
