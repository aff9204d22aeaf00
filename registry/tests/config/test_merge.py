from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from itnet_registry.config.merge import merge_mappings
from itnet_registry.config.resolve import resolve

if TYPE_CHECKING:
    from registry.tests.conftest import Garden


@pytest.fixture
def kernel(garden: Garden) -> Callable[..., dict[str, Any]]:
    """Return the kernel of a model with `kernel` said over the preset acme-a/base."""
    garden.toy()
    garden.plant(
        "acme-a",
        """
        @hookimpl
        def itnet_register_presets(api):
            kernel = {"name": "mlp", "heads": 2, "hidden": 8, "support": {"causal": "t", "radius": 0.5}}
            return [
                PresetSpec(name="base", summary="", config={
                    "width": 8, "depth": 1, "dropout": 0.5, "kernel": kernel, "encoder": "pixels", "heads": {}}),
                PresetSpec(name="gone", summary="", config={"width": 8, "depth": 1, "kernel": "gone"}),
            ]
        """,
    )
    registry = garden.registry()

    def completed(said: Any, preset: str = "base", **more: Any) -> dict[str, Any]:
        said = {} if said is None else {"kernel": said}
        config = resolve(registry, {"preset": preset, "encoder": "pixels", "heads": {}, **said, **more})
        return config.trunk[0].kernel.model_dump()

    return completed


@pytest.mark.parametrize("said", [None, "mlp", "itnet-core/mlp", {"name": "mlp"}, {}])
def test_the_component_that_is_there_keeps_its_options(kernel: Callable[..., dict[str, Any]], said: Any) -> None:
    assert (kernel(said)["heads"], kernel(said)["hidden"]) == (2, 8)


@pytest.mark.parametrize("name", [{}, {"name": "mlp"}, {"name": "itnet-core/mlp"}])
def test_options_of_the_same_component_are_merged(kernel: Callable[..., dict[str, Any]], name: dict[str, str]) -> None:
    actual = kernel({**name, "heads": 4})
    assert (actual["heads"], actual["hidden"]) == (4, 8)


def test_mappings_are_merged_and_null_replaces(kernel: Callable[..., dict[str, Any]]) -> None:
    for radius in (0.1, None):
        expected = {"causal": "t", "radius": radius, "window": None, "edge": 0.0}
        assert kernel({"support": {"radius": radius}})["support"] == expected


def test_another_component_keeps_nothing(kernel: Callable[..., dict[str, Any]]) -> None:
    assert kernel("constant") == {"name": "itnet-toy/constant", "heads": 1}


def test_a_presets_component_that_is_not_there_can_be_replaced(kernel: Callable[..., dict[str, Any]]) -> None:
    assert kernel("constant", preset="gone") == {"name": "itnet-toy/constant", "heads": 1}


def test_numbers_replace_numbers(garden: Garden, kernel: Callable[..., dict[str, Any]]) -> None:
    said = {"preset": "base", "dropout": 0.25, "width": 16}
    config = resolve(garden.registry(), said)
    assert (config.width, config.trunk[0].width, config.trunk[0].dropout) == (16, 16, 0.25)


def test_one_encoder_replaces_several_and_the_other_way_round(
    garden: Garden, kernel: Callable[..., dict[str, Any]]
) -> None:
    registry = garden.registry()
    config = resolve(registry, {"preset": "base", "encoders": {"text": "letters"}})
    assert list(config.encoders) == ["text"]
    config = resolve(registry, {"preset": "base", "encoder": {"channels": 5}})
    assert config.encoders["image"].options["channels"] == 5


def test_merge_mappings() -> None:
    assert merge_mappings({"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"c": [2], "e": 3}, "d": {"f": 1}}) == {
        "a": {"b": 1, "c": [2], "e": 3},
        "d": {"f": 1},
    }
