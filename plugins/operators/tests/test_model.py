from __future__ import annotations

from pathlib import Path

import pytest
import torch

from itnet_core import Field
from itnet_operators.samples import grid_points
from itnet_registry import create_model, load_model, save_model


@pytest.mark.parametrize("preset", ["operator-nano", "operator-1d-nano", "operator-periodic-nano"])
def test_a_model_of_a_preset_is_saved_loaded_and_the_same(preset: str, tmp_path: Path) -> None:
    sizes, axes = ((16, 16), "yx") if preset == "operator-nano" else ((20,), "x")
    model = create_model(preset, head={"name": "per-point", "outputs": 2}).eval()
    points = grid_points(sizes, axes)
    field = points.with_values(torch.randn(1, points.values.shape[1], 1))
    save_model(model, tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model").eval()(field), model(field))


def test_preset_and_task_make_a_model() -> None:
    """The task's channels arrive in the encoder, its outputs in the head."""
    task = {"name": "antiderivative", "samples": 10, "points": 8, "coordinates": True}
    model = create_model("operator-1d-nano", task=task).eval()
    assert model.encoders["field"].config.channels == 2  # type: ignore[union-attr]
    assert len(model.config["tasks"]["field"]["scale"]) == 1  # type: ignore[index]


@pytest.mark.parametrize("points", [8, 32])
def test_a_periodic_model_commutes_with_shifts(points: int) -> None:
    model = create_model("operator-periodic-nano", head={"name": "per-point", "outputs": 1}).double().eval()
    field = Field.on_grid(torch.randn(2, points, 1, dtype=torch.float64), axes="x")
    shifted = model(field.map(lambda values: values.roll(3, 1)))
    torch.testing.assert_close(shifted, model(field).roll(3, 1), rtol=1e-9, atol=1e-9)


def test_a_periodic_model_is_nearly_the_same_function_at_any_resolution() -> None:
    """Also as built: its kernel is smooth and has few harmonics."""
    model = create_model("operator-periodic-nano", head={"name": "per-point", "outputs": 1}).double().eval()

    @torch.no_grad()
    def output(points: int) -> torch.Tensor:
        x, shift = 2 * torch.arange(points).double() / points - 1, 1 / points
        values = torch.sin(torch.pi * x) + 0.3 * torch.cos(2 * torch.pi * x)
        field = Field.on_grid(values.view(1, -1, 1), axes="x", bounds=[(-1 - shift, 1 - shift)])
        return model(field)[:, :: points // 16]

    exact = output(256)
    assert (output(16) - exact).norm() < 1e-2 * exact.norm()
    assert (output(64) - exact).norm() < 1e-6 * exact.norm()
