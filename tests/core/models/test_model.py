from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from itnet_core import Block, ConfigError, Encoder, Field, IntegralOperator, ITNetModel, MLPKernel, Trunk
from itnet_core.models.head import ClassificationHead, PerPointHead, RegressionHead, mean
from itnet_core.plugin.builtin import itnet_register_presets

MakeField = Callable[..., Field]


class Pointwise(Encoder):
    """A smooth function's samples, one point a sample."""

    modality = "signal"

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.linear = nn.Linear(1, dim)

    def forward(self, inputs: Tensor) -> Field:
        return Field.on_grid(self.linear(inputs.unsqueeze(-1)), axes="t")


def model_of(depth: int = 2) -> ITNetModel:
    trunk = Trunk(Block(IntegralOperator(8, MLPKernel(8, heads=2))) for _ in range(depth))
    heads = {"signal": ClassificationHead(8, classes=3), "other": RegressionHead(8)}
    return ITNetModel({"signal": Pointwise(8), "other": Pointwise(8), "bare": Pointwise(8)}, trunk, heads)


def test_each_modality_has_its_encoder_and_head() -> None:
    model = model_of()
    assert model(torch.randn(2, 5), "signal").shape == (2, 3)
    assert model(torch.randn(2, 5), "other").shape == (2, 1)
    assert model.features(torch.randn(2, 5), "bare").values.shape == (2, 5, 8)


def test_without_a_head_a_call_gives_the_pooled_features() -> None:
    model, inputs = model_of(), torch.randn(2, 5)
    assert torch.equal(model(inputs, "bare"), mean(model.features(inputs, "bare")))
    assert torch.equal(model.features(inputs, "bare", pooled=True), mean(model.features(inputs, "bare")))


def test_features_after_blocks_are_those_of_shorter_trunks() -> None:
    model, inputs = model_of(depth=3), torch.randn(2, 5)
    fields = model.features(inputs, "other", blocks=[2, 0, -2])
    field = model.encoders["other"](inputs)
    expected = []
    for block in model.trunk.blocks:
        field = block(field)
        expected.append(field)
    pairs = list(zip(fields, [expected[2], expected[0], expected[1]], strict=True))
    for actual, wanted in pairs:
        assert torch.equal(actual.values, wanted.values)
    assert torch.equal(model.trunk.norm(fields[0].values), model.features(inputs, "other").values)
    means = model.features(inputs, "other", pooled=True, blocks=[2, 0, -2])
    for actual_mean, (_, wanted) in zip(means, pairs, strict=True):
        assert torch.equal(actual_mean, mean(wanted))
    with pytest.raises(ConfigError, match=r"features\(blocks\): found \[3\]; expected numbers of blocks, from -3 to 2"):
        model.features(inputs, "other", blocks=[3])


def test_another_number_of_classes() -> None:
    model = model_of().double().eval()
    assert model.num_classes == 3
    model.replace_head(5, "signal")
    assert model.num_classes == 5
    assert not model.heads["signal"].training
    assert model(torch.randn(2, 5).double(), "signal").shape == (2, 5)
    model.replace_head(2, "bare")
    with pytest.raises(ConfigError, match="num_classes: found 2 classification heads; expected one of them"):
        _ = model.num_classes
    with pytest.raises(ConfigError, match="ClassificationHead.classes"):
        model.replace_head(0, "bare")
    with pytest.raises(ConfigError, match="one of signal, other, bare"):
        model.replace_head(2)


def test_a_modality_that_is_not_there_is_refused() -> None:
    model = model_of()
    with pytest.raises(ConfigError, match="one of signal, other, bare"):
        model(torch.randn(2, 5))
    with pytest.raises(ConfigError, match="found 'image'"):
        model(torch.randn(2, 5), "image")
    with pytest.raises(ConfigError, match="an encoder for each head"):
        ITNetModel({"a": Pointwise(8)}, model.trunk, {"b": RegressionHead(8)})


@pytest.mark.parametrize("name", ["", "a.b", "keys", "training"])
def test_a_modality_that_torch_takes_for_no_modules_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="ITNetModel.encoders: found a modality that cannot be a module's name"):
        ITNetModel({name: Pointwise(8)}, model_of().trunk, {})


def test_resolution_may_change() -> None:
    """The same signal sampled twice as finely gives nearly the same output; the error falls at least as 1/N."""
    model = model_of()

    def output(points: int) -> Tensor:
        t = (torch.arange(points) + 0.5) / points
        return model((2 * torch.pi * t).sin().unsqueeze(0), "signal")

    finest = output(1024)
    for points in (8, 16, 32, 64, 128):
        assert (output(points) - finest).norm() / finest.norm() < 0.2 / points


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    model, batch = model_of(), torch.randn(3, 6)
    alone = torch.cat([model(sample.unsqueeze(0), "signal") for sample in batch])
    torch.testing.assert_close(model(batch, "signal"), alone)


def test_every_parameter_learns() -> None:
    model = model_of()
    sum(model(torch.randn(2, 5), name).square().sum() for name in ("signal", "other")).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(name.startswith("encoders.bare") for name in idle)


def test_heads(make_field: MakeField) -> None:
    field = make_field(padding=0.5)
    present = [field.values[b][field.mask[b]] for b in range(2)]
    weights = [field.weights[b][field.mask[b]] for b in range(2)]
    expected = torch.stack([(u * w.unsqueeze(-1)).sum(0) / w.sum() for u, w in zip(present, weights, strict=True)])
    torch.testing.assert_close(mean(field), expected)
    assert PerPointHead(8, outputs=5)(field).shape == (2, 7, 5)
    with pytest.raises(ConfigError, match="ClassificationHead.classes: found nothing"):
        ClassificationHead(8)


@pytest.mark.parametrize(("name", "millions"), [("itnet-s", 22), ("itnet-b", 86), ("itnet-l", 307)])
def test_presets_have_the_sizes_of_the_paper(name: str, millions: int) -> None:
    """Within 2%, with a patch encoder of 16 × 16 × 3 and a head of 1000 classes, as such counts are quoted."""
    preset = next(p for p in itnet_register_presets(api=1) if p.name == name)
    width, kernel = preset.config["width"], dict(preset.config["kernel"])
    kernel.pop("name")
    with torch.device("meta"):
        [entry] = preset.config["trunk"]
        blocks = (Block(IntegralOperator(width, MLPKernel(width, **kernel))) for _ in range(entry["repeat"]))
        parts = nn.ModuleList([nn.Conv2d(3, width, 16), Trunk(blocks), ClassificationHead(width, classes=1000)])
    count = sum(p.numel() for p in parts.parameters())
    assert abs(count / 1e6 - millions) <= 0.02 * millions


def test_the_trunk_may_be_any_module_between_fields() -> None:
    class Doubling(nn.Module):
        def forward(self, field: Field) -> Field:
            return field.map(lambda values: 2 * values)

    model, inputs = model_of(), torch.randn(2, 5)
    model.trunk = Doubling()  # type: ignore[assignment]
    assert model(inputs, "signal").shape == (2, 3)
    assert torch.equal(model(inputs, "bare"), 2 * mean(model.encoders["bare"](inputs)))
