"""Small trained ITNets: each folder of this package is a checkpoint with its card, `zoo/fashion` and so on."""

from __future__ import annotations

__version__ = "0.1.0"
