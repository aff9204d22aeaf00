"""Tasks of texts: GLUE, and tables of a user's own."""
