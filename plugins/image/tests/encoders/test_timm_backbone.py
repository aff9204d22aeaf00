"""With tiny networks of random weights; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from itnet_core import ConfigError, ITNetError, ShapeError
from itnet_image.encoders.image_field import image_field
from itnet_image.encoders.timm_backbone import TimmEncoder
from itnet_registry import create_model, load_model, save_model

NAMES = ["test_resnet", "test_convnext", "test_efficientnet", "test_vit", "swin_tiny_patch4_window7_224"]
OPTIONS: dict[str, Any] = {
    "test_vit": {"img_size": 64},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]},
}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[nn.Module, Path]:
    """A network with its classifier, as timm saves it."""
    torch.manual_seed(7)
    network: nn.Module = timm.create_model("test_resnet", num_classes=5).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return network, tmp_path / "weights.safetensors"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stage", [-1, 1])
def test_every_parameter_of_the_chosen_stage_learns(name: str, stage: int) -> None:
    encoder = TimmEncoder(6, model=name, options=OPTIONS.get(name, {}), stage=stage).eval()
    field = encoder(torch.randn(2, 3, 64, 64))
    assert field.values.shape == (2, (64 // encoder.cell) ** 2, 6)
    torch.testing.assert_close(field.weights.sum(1), torch.ones(2))
    field.values.square().sum().backward()
    assert not [key for key, parameter in encoder.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (70, 41)])
def test_points_are_the_cells_of_timms_own_feature_map(saved: tuple[nn.Module, Path], size: tuple[int, int]) -> None:
    network, file = saved
    encoder = TimmEncoder(8, model="test_resnet", checkpoint=str(file)).eval()
    encoder.load_pretrained()
    images = torch.randn(2, 3, *size)
    features = network.forward_features(images).permute(0, 2, 3, 1)  # type: ignore[operator]
    expected = image_field(encoder.projection(features), size, 32)
    field = encoder(images)
    for part in ("values", "positions", "weights"):
        torch.testing.assert_close(getattr(field, part), getattr(expected, part))


def test_a_point_sees_the_image_around_its_position() -> None:
    """A change of the upper left corner changes the upper left points most."""
    torch.manual_seed(0)
    encoder = TimmEncoder(8, model="test_convnext", stage=0).eval()
    images = torch.randn(1, 3, 64, 64)
    changed = images.clone()
    changed[..., :4, :4] += 1
    difference = (encoder(changed).values - encoder(images).values).norm(dim=-1)[0]
    [x, y] = encoder(images).positions[0, int(difference.argmax()), 1:3]
    assert x < -0.9
    assert y < -0.9


def test_a_checkpoint_needs_no_file(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    encoder = {"name": "timm", "model": "test_resnet", "checkpoint": str(saved[1])}
    model = create_model("itnet-nano", depth=1, encoder=encoder, head={"name": "classify", "classes": 3}).eval()
    images = torch.randn(2, 3, 64, 64)
    expected = model(images)
    save_model(model, tmp_path / "checkpoint")
    saved[1].unlink()
    assert torch.equal(load_model(tmp_path / "checkpoint")(images), expected)


def test_weights_are_random_until_they_are_loaded(saved: tuple[nn.Module, Path]) -> None:
    network, file = saved
    encoder, stored = TimmEncoder(8, model="test_resnet", checkpoint=str(file), stage=2), network.state_dict()
    assert not torch.equal(encoder.body.state_dict()["conv1.0.weight"], stored["conv1.0.weight"])
    encoder.load_pretrained()
    for name, tensor in encoder.body.state_dict().items():
        assert torch.equal(tensor, stored[name]), name


@pytest.mark.parametrize("pretrained", [False, True])
def test_weights_are_downloaded_only_where_the_configuration_says_so(
    pretrained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, create = [], timm.create_model

    def hub(name: str, *, pretrained: bool, **options: Any) -> Any:
        asked.append(pretrained)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", hub)
    TimmEncoder(8, model="test_resnet", pretrained=pretrained).load_pretrained()
    assert asked == ([False, True] if pretrained else [False])


def spoilt(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        state = timm.create_model("test_resnet", num_classes=5).state_dict()
        change(state)
        save_file(state, file)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoilt(lambda state: state.pop("conv1.0.weight")), r"Missing key.* conv1\.0\.weight"),
        (spoilt(lambda state: state.update(other=torch.zeros(1))), r"Unexpected key.* other"),
        (spoilt(lambda state: state.update({"conv1.0.weight": torch.zeros(1)})), "size mismatch for conv1.0.weight"),
        (lambda file: file.write_bytes(b"short"), "expected a file of weights in the format safetensors"),
        (lambda file: torch.save({}, file), "expected a file of weights in the format safetensors"),
        (lambda file: file.unlink(), "no file of this name"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    saved: tuple[nn.Module, Path], spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(saved[1])
    with pytest.raises(ConfigError, match=message.replace(".* ", '.*"?')):
        TimmEncoder(8, model="test_resnet", checkpoint=str(saved[1])).load_pretrained()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet19"}, "found 'resnet19'; .*Did you mean 'resnet1"),
        ({"model": "hf-hub:someone/resnet18"}, "without a prefix such as hf-hub:"),
        ({"model": "test_resnet", "stage": 5}, "TimmEncoder.stage: found 5; expected a number from -5 to 4"),
        ({"model": "test_resnet", "options": {"no_such": 1}}, "expected arguments that the architecture takes"),
        ({"model": "test_resnet", "options": {"checkpoint_path": "a.pth"}}, "without checkpoint_path"),
        ({"model": "test_resnet", "checkpoint": "a", "pretrained": True}, "either checkpoint or pretrained"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TimmEncoder(8, **options)


def test_images_that_the_architecture_does_not_take_are_refused() -> None:
    options = {"img_size": 64, "depth": 1}
    encoder = TimmEncoder(8, model="vit_tiny_patch16_224", options=options)
    with pytest.raises(ShapeError, match=r"images of a size that vit_tiny_patch16_224 takes.*dynamic_img_size"):
        encoder(torch.randn(2, 3, 32, 32))
    with pytest.raises(ITNetError, match="channels=1"):
        encoder(torch.randn(2, 1, 64, 64))
    TimmEncoder(8, model="vit_tiny_patch16_224", options={**options, "dynamic_img_size": True})(
        torch.randn(2, 3, 32, 64)
    )
