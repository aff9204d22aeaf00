"""Discovery, loading and quarantine of plugins, and the names of what they declare. Imports no torch."""
