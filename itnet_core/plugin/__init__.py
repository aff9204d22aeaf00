"""What a plugin declares and how a component is configured. Imports no torch."""
