"""Choosing the position encoding and the scan order that a kernel needs for the encoders' points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from itnet_core import ComponentConfig, Encoder, Kernel
from itnet_core.models.position import Position
from itnet_core.models.scan_order import Scan
from itnet_registry.model_config import ModelConfig


def chosen(
    config: ModelConfig, kernel: type[Kernel[Any, Any]], options: ComponentConfig, encoders: Iterable[type[Encoder]]
) -> tuple[Position, Scan]:
    """Return the position encoding and the scan order, with `auto` replaced.

    Args:
        config: with both fields.
        kernel: the class of the kernel.
        options: its configuration.
        encoders: the classes of the encoders.

    Raises:
        ConfigError: the kernel cannot integrate over the points of an encoder.
    """
    unread = [each.axes for each in encoders if not kernel.reads_positions(options, each.axes)]
    position, scan = config.position, config.scan
    if scan is None or scan == "auto":
        in_space = any({"x", "y", "z"} <= set(axes) for axes in unread)
        scan = "none" if not (kernel.scans and unread) else "z-order" if in_space else "raster"
    if position is None or position == "auto":
        position = "fourier" if unread else "none"
    return position, scan
