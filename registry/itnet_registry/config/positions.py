"""Choice of the position encoding and the scan order that a trunk needs for the encoders' points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from itnet_core.models.position import Position
from itnet_core.models.scan_order import Scan
from itnet_registry.config.model_config import ModelConfig


class Unread(NamedTuple):
    """A block's kernel, and the encoders whose points it does not tell apart by position.

    Attributes:
        scans: whether the kernel, or one that it refers to, scans.
        axes: for each encoder whose points it does not tell apart, the axes on which they differ.
    """

    scans: bool
    axes: Sequence[str]


def choose_positions(config: ModelConfig, blocks: Sequence[Unread]) -> tuple[Position, Scan]:
    """Return the position encoding and the scan order of a configuration, with `auto` replaced.

    A block that does not read positions needs the encoding even after one that does: a convolution adds neighbouring
    values, not positions.
    """
    position, scan = config.position, config.scan
    if scan is None or scan == "auto":
        scanned = [axes for block in blocks if block.scans for axes in block.axes]
        in_space = any({"x", "y", "z"} <= set(axes) for axes in scanned)
        scan = "none" if not scanned else "z-order" if in_space else "raster"
    if position is None or position == "auto":
        position = "fourier" if any(block.axes for block in blocks) else "none"
    return position, scan
