"""Short-time spectra of 1-D signals, and a kernel that oscillates: a plugin for ITNet."""
