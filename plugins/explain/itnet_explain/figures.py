"""Figures of an explanation, as PNG and SVG: the shares, the position parts and the spectra of all kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from itnet_explain.explanation import KernelExplanation
from itnet_explain.profile import Profile
from itnet_explain.variance import PARTS

COLOURS = dict(zip(PARTS, ("#9aa4b2", "#2563eb", "#f59e0b", "#dc6803", "#b42318", "#7c3aed"), strict=True))


def draw_figures(layers: Sequence[KernelExplanation], folder: Path) -> None:
    """Draw the figures that the explanation has data for."""
    _draw_shares(layers, folder)
    _draw_positions([(layer, layer.position) for layer in layers if layer.position is not None], folder)
    _draw_spectra([layer for layer in layers if layer.heads], folder)


def _save(figure: Figure, folder: Path, name: str) -> None:
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"{name}.{suffix}", dpi=150)


def _short(path: str) -> str:
    return path.replace(".operator", "")


def _draw_shares(layers: Sequence[KernelExplanation], folder: Path) -> None:
    """Draw the shares of all heads as stacked bars."""
    bars = [(layer.path, head.shares) for layer in layers for head in layer.heads if head.shares]
    if not bars:
        return
    figure = Figure(figsize=(max(4.0, 0.22 * len(bars) + 2.5), 3.2), layout="constrained")
    axes = figure.subplots()
    bottom = [0.0] * len(bars)
    for part in PARTS:
        heights = [max(shares[part], 0.0) for _, shares in bars]
        axes.bar(range(len(bars)), heights, bottom=bottom, color=COLOURS[part], label=part, width=0.85)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    starts = [i for i, (path, _) in enumerate(bars) if i == 0 or bars[i - 1][0] != path]
    axes.set_xticks(starts, [_short(bars[start][0]) for start in starts], rotation=40, ha="right")
    axes.set_ylabel("share of E[k²]")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    _save(figure, folder, "shares")


def _draw_positions(profiles: Sequence[tuple[KernelExplanation, Profile]], folder: Path) -> None:
    """Draw the position part of each kernel: a row of images of its heads, or their curves."""
    if not profiles:
        return
    plane = all(found.displacements.shape[1] == 2 for _, found in profiles)
    width = max(len(found.values) for _, found in profiles) if plane else 4
    figure = Figure(
        figsize=(0.9 * max(width, 3) + 1.2, (0.95 if plane else 1.6) * len(profiles) + 0.6), layout="constrained"
    )
    rows = figure.subplots(len(profiles), squeeze=False)[:, 0]
    for axes, (layer, found) in zip(rows, profiles, strict=True):
        if found.displacements.shape[1] == 2:
            _draw_images(axes, found)
        else:
            order = found.displacements[:, 0].argsort()
            axes.plot(found.displacements[order, 0].numpy(), found.values[:, order].T.numpy(), linewidth=1)
            axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylabel(_short(layer.path) or layer.kernel, rotation=0, ha="right", va="center")
    names = {True: "‖x − y‖", False: "x − y"}
    rows[-1].set_xlabel("heads, each over x − y" if plane else names[profiles[-1][1].distance])
    _save(figure, folder, "position")


def _draw_images(axes: Axes, found: Profile) -> None:
    """Draw the heads side by side, each from blue to red around its mean, relative to its own range."""
    grids = torch.stack([position_grid(found, head) for head in range(len(found.values))])
    grids = grids - grids.nanmean((1, 2), keepdim=True)
    grids = grids / grids.abs().nan_to_num().amax((1, 2), keepdim=True).clamp(min=1e-12)
    height, width = grids.shape[1:]
    gap = max(1, width // 12)
    row = torch.full((height, len(grids) * (width + gap) - gap), torch.nan)
    for head, grid in enumerate(grids):
        row[:, head * (width + gap) : head * (width + gap) + width] = grid
    axes.imshow(row.numpy(), cmap=colormaps["RdBu_r"], vmin=-1, vmax=1, aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def position_grid(found: Profile, head: int) -> Tensor:
    """Return a head's position part over the plane of x − y, rows along the second coordinate; NaN where unknown."""
    columns, rows = (torch.unique(axis, return_inverse=True) for axis in found.displacements.T)
    grid = torch.full((len(rows[0]), len(columns[0])), torch.nan, dtype=found.values.dtype)
    grid[rows[1], columns[1]] = found.values[head]
    return grid


def _draw_spectra(layers: Sequence[KernelExplanation], folder: Path) -> None:
    """Draw the share of energy by the number of components: each kernel's mean over heads, and their range."""
    if not layers:
        return
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    shades = colormaps["viridis"](torch.linspace(0, 0.9, len(layers)).tolist())
    for layer, shade in zip(layers, shades, strict=True):
        energy = torch.tensor([head.energy for head in layer.heads]).numpy()
        numbers = range(1, energy.shape[1] + 1)
        axes.plot(numbers, energy.mean(0), color=shade, linewidth=1.2, label=_short(layer.path) or layer.kernel)
        axes.fill_between(numbers, energy.min(0), energy.max(0), color=shade, alpha=0.12, linewidth=0)
    axes.set(xlabel="components", ylabel="share of energy", ylim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
    _save(figure, folder, "spectrum")
