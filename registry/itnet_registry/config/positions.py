"""Choice of the position encoding and the scan order that a kernel needs for the encoders' points."""

from __future__ import annotations

from collections.abc import Iterable

from itnet_core import ComponentConfig, Encoder, Kernel
from itnet_core.models.position import Position
from itnet_core.models.scan_order import Scan
from itnet_registry.config.model_config import ModelConfig


def choose_positions(
    config: ModelConfig,
    kernel: type[Kernel],
    kernel_config: ComponentConfig,
    encoders: Iterable[type[Encoder]],
    *,
    scans: bool,
) -> tuple[Position, Scan]:
    """Return the position encoding and the scan order of a configuration, with `auto` replaced.

    Args:
        config: the configuration as written.
        kernel: the class of the kernel.
        kernel_config: the kernel's configuration.
        encoders: the classes of the encoders.
        scans: whether the kernel, or one that it refers to, scans.

    Raises:
        ConfigError: the kernel cannot integrate over the points of an encoder.
    """
    unread = [encoder.axes for encoder in encoders if not kernel.reads_positions(kernel_config, encoder.axes)]
    position, scan = config.position, config.scan
    if scan is None or scan == "auto":
        in_space = any({"x", "y", "z"} <= set(axes) for axes in unread)
        scan = "none" if not (scans and unread) else "z-order" if in_space else "raster"
    if position is None or position == "auto":
        position = "fourier" if unread else "none"
    return position, scan
