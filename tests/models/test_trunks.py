"""Trunks of several kinds of blocks: in a few lines, saved, streamed, and with the positions that they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, Field
from itnet_registry import Registry, create_model, load_model, replace_operator, save_model
from itnet_registry.config.resolve import resolve

FOUR_LINES = ["convolution", "convolution", "attention", "mamba2"]
CAUSAL = {"support": {"causal": "t"}}
STREAMING: list[Any] = [{"kernel": {"name": "attention", **CAUSAL}}, "mamba2", {"kernel": "gru", "norm": "rms"}]


def test_four_lines_make_a_mixed_trunk(tmp_path: Path) -> None:
    model = create_model(width=16, encoder={"name": "patch", "patch_size": 4}, trunk=FOUR_LINES, heads={}).eval()
    image = torch.randn(2, 3, 16, 16)
    assert model.config is not None
    assert [entry["kernel"]["name"].partition("/")[2] for entry in model.config["trunk"]] == FOUR_LINES
    assert (model.config["position"], model.config["scan"]) == ("fourier", "raster")
    save_model(model, tmp_path / "c")
    assert torch.equal(load_model(tmp_path / "c").features(image).values, model.features(image).values)


@pytest.mark.parametrize(
    ("trunk", "position", "scan"),
    [
        (["mlp", "mlp"], "none", "none"),
        (["mlp", "attention"], "fourier", "none"),
        (["attention", "mlp"], "fourier", "none"),
        (["mlp", "lstm"], "fourier", "raster"),
    ],
)
def test_auto_decides_from_all_blocks(trunk: Any, position: str, scan: str) -> None:
    config = resolve(Registry(), {"width": 16, "encoder": "patch", "trunk": trunk, "heads": {}})
    assert (config.position, config.scan) == (position, scan)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_mixed_trunk_streams_where_every_block_does(norm_first: bool) -> None:
    model = create_model(width=16, encoder="token", trunk=STREAMING, norm_first=norm_first, heads={}).double().eval()
    field = Field(torch.randn(2, 6, 16), _times(6)).to(torch.float64)
    states, steps = None, []
    for point in range(6):
        part = slice(point, point + 1)
        states, out = model.trunk.step(states, Field(field.values[:, part], field.positions[:, part]))
        steps.append(out.values)
    torch.testing.assert_close(torch.cat(steps, dim=1), model.trunk(field).values, rtol=1e-9, atol=1e-9)
    replace_operator(model, kernel={"name": "attention"}, blocks=[1])
    with pytest.raises(ConfigError, match=r"^IntegralOperator\.step: "):
        model.trunk.step(None, Field(field.values[:, :1], field.positions[:, :1]))


def _times(points: int) -> torch.Tensor:
    positions = torch.zeros(2, points, 4)
    positions[..., 0] = torch.arange(points) / 8
    return positions


def test_an_image_goes_through_a_pyramid() -> None:
    model = create_model("itnet-pyramid-nano", encoder={"name": "patch", "patch_size": 2}, heads={}).train()
    actual = model.features(torch.randn(2, 3, 28, 28))
    assert (actual.grid, actual.dim) == ((7, 7), 64)
    torch.autograd.backward(actual.values.sum())


def test_an_image_of_high_contrast_grows_no_faster_than_itself_in_a_pyramid() -> None:
    """Batch norm bounds a batch in training, not one image in evaluation, and k alone would square it in each block."""
    model = create_model("itnet-pyramid-nano", encoder={"name": "patch", "patch_size": 2}, heads={}).train()
    image = torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        model.features(image)
    model.eval()
    with torch.no_grad():
        sizes = [float(model.features(scale * image).values.abs().max()) for scale in (1e3, 1e6)]
    assert sizes[1] < 3e3 * sizes[0]
