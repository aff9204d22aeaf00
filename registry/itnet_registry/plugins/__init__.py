"""Discovery, loading and quarantine of plugins, and the names of their declarations. Imports no torch."""
