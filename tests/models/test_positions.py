"""Every kernel knows where points are, in every modality: by itself, by an encoding of positions or by a scan order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from itnet_core import ConfigError, Encoder, Field, FieldError, Head, ITNetModel
from itnet_registry import Registry, create_model, load_model, replace_operator, save_model
from itnet_registry.cli.app import app
from itnet_registry.config.resolve import resolve
from itnet_testing.fields import permuted

KERNELS = [
    component.id
    for component in Registry().components("kernel")
    if not component.load().reads  # of graphs, whose encoders add edges
]
SCANNING = [kernel for kernel in KERNELS if Registry().component("kernel", kernel).load().scans]
ENCODERS: dict[str, dict[str, Any]] = {
    "patch": {"patch_size": 4},
    "token": {},
    "mel": {"sample_rate": 8000, "n_mels": 32},
    "point": {},
}
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "patch": {"spacing": 0.4},
    "token": {"axes": "t", "kernel_size": [3], "spacing": 0.125},
    "mel": {"axes": "tx", "spacing": 0.5},
    "point": {"axes": "xyz", "kernel_size": [3, 3, 3], "spacing": 0.5},
}
MLP_OF_CONTENT = {"name": "mlp", "inputs": ["query", "key", "product"]}
ROTARY = {"name": "attention", "rotary": True}
IMAGE = torch.linspace(-1, 1, 3 * 16 * 16, dtype=torch.float64).sin().view(1, 3, 16, 16)


def small(encoder: str, kernel: Any, **more: Any) -> ITNetModel:
    """Return a small model in float64."""
    said = {"width": 16, "depth": 1, "head": {"name": "classify", "classes": 3}, **more}
    return create_model(encoder={"name": encoder, **ENCODERS[encoder]}, kernel=kernel, **said).double().eval()


def config_of(model: ITNetModel) -> Mapping[str, Any]:
    assert model.config is not None
    return model.config


def encoded(model: ITNetModel) -> Field:
    """Return the field of a sample, the first of the encoder's example."""
    [encoder] = model.encoders.values()
    assert isinstance(encoder, Encoder)
    field: Field = encoder(encoder.example())
    there = field.mask[0]
    return Field(field.values[:1, there], field.positions[:1, there], field.weights[:1, there]).to(torch.float64)


@torch.no_grad()
def logits(model: ITNetModel, field: Field) -> Tensor:
    [head] = model.heads.values()
    assert isinstance(head, Head)
    prediction: Tensor = head(model.trunk(field))
    return prediction


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_model_is_no_bag_of_points(kernel: str, encoder: str) -> None:
    """Other places for the values change the logits; another order of the points, with their values, does not."""
    example = Registry().component("kernel", kernel).load().example_options
    options = CONVOLUTIONS[encoder] if kernel.endswith("/convolution") else example
    model = small(encoder, {"name": kernel, **options})
    field = encoded(model)
    order = torch.randperm(field.values.shape[1])
    expected = logits(model, field)
    moved = logits(model, field.with_values(field.values[:, order]))
    assert (moved - expected).norm() > 1e-4 * expected.norm()
    torch.testing.assert_close(logits(model, permuted(field, order)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("encoder", "kernel", "position", "scan"),
    [
        ("patch", "mlp", "none", "none"),
        ("patch", MLP_OF_CONTENT, "fourier", "none"),
        ("token", {"name": "skeleton", "mlp": {"inputs": ["query", "key"]}}, "fourier", "none"),
        ("token", "attention", "fourier", "none"),
        ("token", {"name": "linear-attention", "support": {"causal": "t"}}, "fourier", "none"),
        ("token", ROTARY, "none", "none"),
        ("patch", ROTARY, "fourier", "none"),  # it rotates by time
        ("mel", {"name": "attention", "alibi": True}, "fourier", "none"),
        ("token", "s4d", "none", "none"),
        ("patch", "s4d", "fourier", "raster"),
        ("patch", {"name": "gru", "axis": "x"}, "fourier", "raster"),
        ("mel", "lstm", "fourier", "raster"),
        ("point", "mamba2", "fourier", "z-order"),
        ("image-text", "mamba", "fourier", "raster"),
        ("image-text", "attention", "fourier", "none"),
    ],
    ids=str,
)
def test_what_auto_chooses(encoder: str, kernel: Any, position: str, scan: str) -> None:
    config = resolve(Registry(), {"width": 16, "depth": 1, "encoder": encoder, "kernel": kernel, "heads": {}})
    assert (config.position, config.scan) == (position, scan)


def test_what_is_said_is_kept() -> None:
    said = {"position": "none", "scan": "none"}
    assert config_of(small("patch", "attention", **said)).items() >= said.items()
    said = {"position": "none", "scan": "raster"}
    assert config_of(small("point", "gru", **said)).items() >= said.items()


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.kernel: .*found 'yx', for points .* 't' alone;.*Give axes='t'"):
        small("token", "convolution")
    with pytest.raises(ConfigError, match=r"^model: scan: found 'raster' with AttentionKernel, .*position = 'fourier'"):
        small("patch", "attention", scan="raster")
    with pytest.raises(ConfigError, match=r"^model\.scan: found 'hilbert'; expected 'auto', 'none', 'raster' or"):
        small("patch", "gru", scan="hilbert")
    with pytest.raises(ConfigError, match=r"^model\.position: found 'learned'; expected 'auto', 'none' or 'fourier'"):
        small("patch", "attention", position="learned")
    model = small("patch", "lstm", scan="none")
    with pytest.raises(FieldError, match=r"for a model a scan order \(scan='raster'\)"):
        model(torch.zeros(1, 3, 8, 8).double())


@pytest.mark.parametrize("kernel", SCANNING)
def test_a_scan_order_alone_tells_points_apart(kernel: str) -> None:
    for encoder in ("patch", "mel", "point"):
        model = small(encoder, kernel, position="none")
        field = encoded(model)
        order = torch.randperm(field.values.shape[1])
        expected = logits(model, field)
        assert (logits(model, field.with_values(field.values[:, order])) - expected).norm() > 1e-4 * expected.norm()


@pytest.mark.parametrize("kernel", ["attention", "mamba"])
def test_the_resolution_may_change(kernel: str) -> None:
    """And the order of the pixels' patches, from the image on, matters at each."""
    model = small("patch", kernel)
    for side in (8, 16, 24):
        image = torch.randn(1, 3, side, side).double()
        swapped = image.roll(4, dims=-1)
        assert (model(swapped) - model(image)).norm() > 1e-4 * model(image).norm()


@pytest.mark.parametrize("kernel", ["attention", "mamba"])
def test_a_checkpoint_keeps_the_choice(kernel: str, tmp_path: Path) -> None:
    model = small("patch", kernel)
    save_model(model, tmp_path / "c")
    again = load_model(tmp_path / "c")
    assert again.config == model.config
    assert torch.equal(again(IMAGE), model(IMAGE))


@pytest.mark.parametrize("kernel", ["attention", "mamba"])
def test_a_checkpoint_from_before_gives_the_same_as_ever(kernel: str, tmp_path: Path) -> None:
    """A model without encoding and scan order, whose checkpoint does not know of them."""
    model = small("patch", kernel, position="none", scan="none")
    save_model(model, tmp_path / "c")
    manifest = json.loads((tmp_path / "c/itnet.json").read_text())
    for field in ("position", "scan"):
        del manifest["config"][field]
    (tmp_path / "c/itnet.json").write_text(json.dumps(manifest))
    again = load_model(tmp_path / "c")
    assert again.config == model.config
    assert torch.equal(again(IMAGE), model(IMAGE))


@pytest.mark.parametrize("kernel", ["attention", "mamba"])
def test_a_stream_of_points_gives_the_whole(kernel: str) -> None:
    options = {"support": {"causal": "t"}} if kernel == "attention" else {}
    model = small("token", {"name": kernel, **options}, position="fourier")
    field, states, steps = encoded(model), None, []
    for point in range(field.values.shape[1]):
        part = slice(point, point + 1)
        alone = Field(field.values[:, part], field.positions[:, part], field.weights[:, part])
        states, actual = model.trunk.step(states, alone)
        steps.append(actual.values)
    torch.testing.assert_close(torch.cat(steps, dim=1), model.trunk(field).values, rtol=1e-9, atol=1e-9)


def test_the_command_shows_the_choice(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"model": {"preset": "itnet-nano", "encoder": "patch", "kernel": "s4d", "heads": {}}}))
    shown = CliRunner().invoke(app, ["validate", str(path)]).stdout
    assert shown.endswith("for kernel itnet-kernels/s4d: position fourier, scan raster\n")
    report = json.loads(CliRunner().invoke(app, ["info", "s4d", "--json"]).stdout)
    assert (report["scans"], report["reads_positions"]) == (True, "t")
    report = json.loads(CliRunner().invoke(app, ["info", "attention", "--json"]).stdout)
    assert (report["scans"], report["reads_positions"]) == (False, "no")


def test_a_kernel_that_is_replaced_gets_what_the_new_one_needs(tmp_path: Path) -> None:
    model = small("patch", "mlp")
    assert (model.trunk.position, model.trunk.scan) == (None, None)
    for kernel, scan in (
        ("mamba", "raster"),
        ("attention", "none"),
        ("mlp", "none"),
    ):  # the encoding has learned: it stays
        replace_operator(model, kernel=kernel)
        assert (config_of(model)["position"], config_of(model)["scan"]) == ("fourier", scan)
        assert (model.trunk.position is not None, model.trunk.scan is not None) == (True, scan != "none")
        save_model(model, tmp_path / kernel)
        torch.testing.assert_close(load_model(tmp_path / kernel)(IMAGE), model(IMAGE))
