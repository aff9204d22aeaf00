from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from itnet_core import ConfigError, ITNetModel
from itnet_registry import ComponentError, Registry

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

PRESETS = {"itnet-s": 22e6, "itnet-b": 86e6, "itnet-l": 307e6}


def test_a_model_by_names(registry: Registry) -> None:
    model: Any = registry.create_model("itnet-nano", encoder="pixels", head={"name": "classify", "classes": 3})
    assert isinstance(model, ITNetModel)
    assert model(torch.randn(2, 4, 4, 3)).shape == (2, 3)
    blocks: list[Any] = list(model.trunk.blocks)
    assert len(blocks) == 4
    assert blocks[0].operator.kernel is not blocks[1].operator.kernel


def test_the_configuration_builds_the_model_again(registry: Registry) -> None:
    model: Any = registry.create_model("toy", encoder="pixels", task="stripes")
    torch.manual_seed(0)
    first: Any = registry.create_model(**model.config)
    torch.manual_seed(0)
    second = registry.create_model(**first.config)
    assert first.config == second.config == model.config
    for (name, one), (other, two) in zip(first.state_dict().items(), second.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(one, two)


def test_several_modalities_share_the_trunk(registry: Registry) -> None:
    model = registry.create_model(
        "toy", encoders={"image": "pixels", "text": "letters"}, heads={"image": "regress", "text": "regress"}
    )
    assert model(torch.randn(2, 4, 4, 3), "image").shape == (2, 1)
    assert model(torch.zeros(2, 5, dtype=torch.long), "text").shape == (2, 1)


def test_a_model_without_heads_gives_features(registry: Registry) -> None:
    model = registry.create_model("toy", encoder="pixels", heads={})
    image = torch.randn(2, 4, 4, 3)
    assert model.features(image).values.shape == (2, 16, 8)
    assert torch.equal(model(image), model.features(image, pooled=True))


def test_widths_and_heads_that_do_not_fit_have_their_place(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"^model\.trunk\.0\.kernel: found dim 64 with 7 heads"):
        registry.create_model("itnet-nano", encoder="pixels", heads={}, kernel={"heads": 7})


@pytest.mark.parametrize("failure", ["RuntimeError", "SystemExit"])
def test_a_component_that_fails_has_its_place_and_owner(garden: Garden, failure: str) -> None:
    garden.toy()
    parts = f"""
    from itnet_core import MLPKernel
    class K(MLPKernel):
        def __init__(self, dim, config=None, **options):
            raise {failure}("no luck")
    """
    garden.plant_kernel("acme-a", "k", "acme_a.parts:K", modules={"parts": parts})
    with pytest.raises(
        ComponentError, match=rf"^model\.trunk\.0\.kernel: kernel acme-a/k of acme-a 1\.0: found {failure}: no luck"
    ):
        garden.registry().create_model("toy", encoder="pixels", heads={}, kernel="k")


@pytest.mark.parametrize(("preset", "parameters"), PRESETS.items())
def test_the_presets_have_the_papers_sizes(registry: Registry, preset: str, parameters: float) -> None:
    """On the meta device: shapes alone, no memory."""
    with torch.device("meta"):
        model = registry.create_model(preset, encoder="pixels", head={"name": "classify", "classes": 1000})
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.02)
