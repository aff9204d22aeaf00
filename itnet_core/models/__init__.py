"""Models: an encoder and a head for each modality, around one trunk of integral operators."""
