"""Tasks of images with texts: question answering, reasoning and retrieval."""
