"""Run the command `itnet` as `python -m itnet_registry`."""

from __future__ import annotations

from itnet_registry.cli.app import main

if __name__ == "__main__":
    main()
