"""The table of a trunk's points, parameters and FLOPs."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from itnet_core import DenseEvaluator, Field
from itnet_registry import create_model, save_model
from itnet_registry.api import default_registry
from itnet_registry.build.trunk_table import trunk_table
from itnet_registry.cli.app import app
from itnet_registry.config.resolve import resolve

VERSION = version("itnet-core")
SMALL = {"heads": 2, "hidden": 4, "rank": 2, "frequencies": 1}
CONFIG: dict[str, Any] = {
    "width": 4,
    "kernel": SMALL,
    "encoder": {"name": "field", "channels": 3},
    "heads": {},
    "trunk": [
        {"repeat": 3},
        {"width": 6, "query": {"stride": 2}, "ffn_ratio": 0, "norm": "batch"},
        {"query": {"latents": 5}},
        {"query": {"block": "encoder"}, "repeat": 2},
    ],
}


def rows(grid: tuple[int, ...] = (4, 6), **changes: Any) -> list[dict[str, Any]]:
    return trunk_table(default_registry(), resolve(default_registry(), {**CONFIG, **changes}), grid)


def test_it_counts_what_runs() -> None:
    """With `dense`, every product of matrices goes through PyTorch, which counts them."""
    table, model = rows(), create_model(**CONFIG).eval().requires_grad_(False)
    parameters = [sum(p.numel() for p in block.parameters()) for block in model.trunk.blocks]
    assert [row["parameters"] for row in table] == [
        sum(parameters[:3]),
        parameters[3],
        parameters[4],
        sum(parameters[5:]),
    ]
    blocks: list[Any] = list(model.trunk.blocks)
    for block in blocks:
        block.operator.evaluator = DenseEvaluator()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.trunk(Field.on_grid(torch.randn(1, 4, 6, 4), axes="yx"))
    assert sum(row["flops"] for row in table) == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_points_and_widths_of_each_entry() -> None:
    actual = [(row["points_in"], row["points_out"], row["width"], row["repeat"]) for row in rows()]
    assert actual == [
        ([4, 6], [4, 6], 4, 3),
        ([4, 6], [2, 3], 6, 1),
        ([2, 3], [5], 4, 1),
        ([5], [4, 6], 4, 2),
    ]


def test_an_entry_may_halve_its_points_again_and_again() -> None:
    [whole] = rows((16, 16), trunk=[{"query": {"stride": 2}, "repeat": 4}])
    single = rows((16, 16), trunk=[{"query": {"stride": 2}}] * 4)
    assert whole["points_out"] == [1, 1]
    assert (whole["parameters"], whole["flops"]) == tuple(
        sum(row[name] for row in single) for name in ("parameters", "flops")
    )


def test_a_support_saves_its_pairs() -> None:
    [everywhere] = rows(trunk=[{}])
    [window] = rows(trunk=[{"kernel": {"support": {"window": 0.4}}}])
    assert window["flops"] < everywhere["flops"]
    assert window["support"] == {"window": 0.4}


def test_info_draws_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"model": CONFIG}))
    shown = CliRunner().invoke(app, ["info", str(path), "--points", "4x6"]).stdout
    assert "trunk, for 4x6 points" in shown
    assert "stride 2" in shown
    assert "4×6→2×3" in shown
    report = json.loads(CliRunner().invoke(app, ["info", str(path), "--points", "4x6", "--json"]).stdout)
    assert report["trunk"] == rows()
    assert report["flops"] == sum(row["flops"] for row in report["trunk"])
    save_model(create_model(**CONFIG), tmp_path / "saved")
    saved = json.loads(CliRunner().invoke(app, ["info", str(tmp_path / "saved"), "--points", "4x6", "--json"]).stdout)
    assert (saved["kind"], saved["trunk"], saved["saved_by"]) == ("checkpoint", rows(), [f"itnet-core {VERSION}"])
    report = json.loads(CliRunner().invoke(app, ["info", "itnet-pyramid-nano", "--json"]).stdout)
    assert (report["points"], report["parameters"]) == ([14, 14], 214095)


def test_points_that_are_no_grid_are_refused() -> None:
    result = CliRunner().invoke(app, ["info", "itnet-nano", "--points", "4y6"])
    assert result.exit_code != 0
