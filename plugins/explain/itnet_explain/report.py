"""The folder of an explanation: report.html, figures, and the numbers as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from itnet_core import write_atomically
from itnet_explain.explanation import Explanation, Maps
from itnet_explain.figures import draw_figures

SMALLEST = 1e-6
"""A coordinate varies if its extent is larger than this."""


def write_report(
    explanation: Explanation,
    folder: Path,
    *,
    title: str = "",
    images: Mapping[int, str] | None = None,
    labels: Mapping[int, Sequence[str]] | None = None,
) -> None:
    """Write report.html, explanation.json, and figures as PNG and SVG.

    The report is one file that needs neither a server nor a network.

    Example:
        >>> from itnet_explain import explain
        >>> operator = IntegralOperator(8, MLPKernel(8))
        >>> explanation = explain(operator, Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4)))
        >>> write_report(explanation, Path("explained"))
        >>> sorted(file.name for file in Path("explained").iterdir() if file.suffix != ".svg")
        ['explanation.json', 'position.png', 'report.html', 'shares.png', 'spectrum.png']

    Args:
        explanation: of a model.
        folder: created if it does not exist; files of the same names are replaced.
        title: heading of the report.
        images: images of samples as data URLs, by number; they lie under the maps of points on a grid.
        labels: names of the points of samples, such as tokens, by number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = explanation.to_json()
    content: dict[str, Any] = {"title": title, **numbers, "images": dict(images or {})}
    for shown, layer in zip(content["layers"], explanation.layers, strict=True):
        shown["maps"] = [_map(item, (labels or {}).get(item.sample)) for item in layer.maps]
    content["rollout_maps"] = [_map(item, (labels or {}).get(item.sample)) for item in explanation.rollout]
    page = files("itnet_explain").joinpath("report.html").read_text(encoding="utf-8")
    safe = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")  # text of the data ends no script
    write_atomically(folder / "report.html", page.replace("/*data*/", safe))
    write_atomically(folder / "explanation.json", json.dumps(numbers) + "\n")
    draw_figures(explanation.layers, folder)


def _map(item: Maps, labels: Sequence[str] | None) -> dict[str, Any]:
    """Return a map for the report: positions in the coordinates that vary, and weights of −127 to 127 for each row."""
    both = torch.cat([item.query_positions, item.key_positions])
    moving = (both.amax(0) - both.amin(0) > SMALLEST).nonzero().squeeze(1)[:3]
    moving = moving if len(moving) else torch.tensor([0])
    # A page's second coordinate points down, as an image's y does. Over time, an axis such as frequency points up.
    signs = torch.ones(len(moving), dtype=both.dtype)
    if len(moving) == 2 and moving[0] == 0:
        signs[1] = -1
    named = labels is not None and len(labels) <= len(item.key_positions) == len(item.query_positions)  # before padding
    return {
        "sample": item.sample,
        "queries": item.queries.tolist(),
        "points": _rounded(item.key_positions[:, moving] * signs),
        "places": _rounded(item.query_positions[item.queries][:, moving] * signs),
        "grid": item.grid,
        "labels": list(labels or ()) if named else None,
        "weights": base64.b64encode(_bytes(item.weights)).decode(),
    }


def _rounded(positions: Tensor) -> list[list[float]]:
    return [[round(x, 4) for x in row] for row in positions.tolist()]


def _bytes(weights: Tensor) -> bytes:
    largest = weights.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return (weights / largest * 127).round().to(torch.int8).numpy().tobytes()
