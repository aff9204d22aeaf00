"""Model configurations: read, merged over presets and defaults, resolved to components, and described by schemas."""
