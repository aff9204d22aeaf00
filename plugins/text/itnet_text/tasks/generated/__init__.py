"""Tasks on generated sequences, on which a bag of words fails."""
