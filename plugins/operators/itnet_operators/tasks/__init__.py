"""Tasks from fields to fields."""
