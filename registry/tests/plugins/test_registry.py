from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

import itnet_registry
from itnet_core import ConfigError
from itnet_registry import UnknownNameError

if TYPE_CHECKING:
    from registry.tests.conftest import Garden


def test_a_canonical_name_imports_no_other_plugin(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "k")
    garden.plant("acme-b", "raise RuntimeError('imported')")
    registry = garden.registry()
    assert registry.component("kernel", "acme-a/k").id == "acme-a/k"
    assert registry.faults == ()
    assert "acme_b" not in sys.modules


def test_a_plugin_is_imported_once(garden: Garden) -> None:
    garden.plant("acme-a", "import sys; sys.acme_count = getattr(sys, 'acme_count', 0) + 1; raise RuntimeError")
    registry = garden.registry()
    for _ in range(3):
        registry.available()
        registry.presets()
        registry.commands()
    assert vars(sys).pop("acme_count") == 1


def test_available_is_by_kind_and_sorted(garden: Garden) -> None:
    garden.toy()
    registry = garden.registry()
    assert registry.available("encoder") == ["itnet-core/field", "itnet-toy/letters", "itnet-toy/pixels"]
    assert set(registry.available()) > {"itnet-toy/stripes", "itnet-core/mlp", "itnet-toy/constant"}
    with pytest.raises(ConfigError, match=r"kind: found 'encodr'; expected one of encoder, kernel"):
        registry.available("encodr")


def test_available_takes_patterns_and_presets(garden: Garden) -> None:
    garden.toy()
    registry = garden.registry()
    assert registry.available("*etter*") == ["itnet-toy/letters"]
    assert registry.available("encoder", "[lp]*") == ["itnet-toy/letters", "itnet-toy/pixels"]
    assert registry.available("kernel", "[lp]*") == []
    assert "itnet-core/itnet-s" in registry.available("preset")
    assert set(registry.available("itnet-toy/*")) == {name for name in registry.available() if "itnet-toy/" in name}


def test_create(garden: Garden) -> None:
    garden.toy()
    registry = garden.registry()
    kernel = registry.create("kernel", "mlp", dim=8, heads=2)
    assert kernel.heads == 2
    assert registry.create("task", "stripes", size=6).config.size == 6
    assert registry.create("evaluator", "dense").config.model_dump() == {}
    options: dict[str, Any] = {"name": "itnet-toy/stripes", "size": 8}
    assert registry.create("task", **options).config.size == 8


def test_create_says_what_is_wrong(garden: Garden) -> None:
    garden.toy()
    registry = garden.registry()
    with pytest.raises(ConfigError, match=r"MLPKernel\.head: found a field that does not exist.*Did you mean 'heads'"):
        registry.create("kernel", "mlp", dim=8, head=2)
    with pytest.raises(ConfigError, match=r"create\('kernel', 'mlp'\): found no dim"):
        registry.create("kernel", "mlp")
    with pytest.raises(ConfigError, match=r"Stripes\.dim"):
        registry.create("task", "stripes", dim=8)
    with pytest.raises(UnknownNameError):
        registry.create("kernel", "nothing", dim=8)


def test_presets_and_commands_have_names_like_components(garden: Garden) -> None:
    garden.toy()
    registry = garden.registry()
    assert registry.preset("toy").id == registry.preset("itnet-toy/toy").id == "itnet-toy/toy"
    assert registry.command("greet").spec.target == "itnet_toy.command:greet"
    with pytest.raises(UnknownNameError, match=r"expected one of the installed presets: .*itnet-s.*Did you mean 'toy'"):
        registry.preset("toyy")
    with pytest.raises(
        UnknownNameError, match="itnet-train provides it, and is not installed: pip install itnet-train"
    ):
        registry.command("train")


def test_two_entry_points_of_one_distribution_may_declare_the_same(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "k", entry="one = acme_a.plugin\ntwo = acme_a.plugin")
    registry = garden.registry()
    assert registry.available("kernel").count("acme-a/k") == 1
    assert registry.component("kernel", "k").id == "acme-a/k"


def test_the_functions_of_the_package_use_one_registry(garden: Garden) -> None:
    garden.toy()
    assert "itnet-toy/pixels" in itnet_registry.available("encoder")
    assert itnet_registry.component("encoder", "pixels").id == "itnet-toy/pixels"
    assert itnet_registry.create("encoder", "pixels", dim=4).dim == 4
    assert itnet_registry.default_registry() is itnet_registry.default_registry()
    model: Any = itnet_registry.create_model("toy", encoder="pixels", heads={})
    assert model.config["encoders"]["image"]["name"] == "itnet-toy/pixels"


def test_everything_that_is_exported_is_there() -> None:
    for name in itnet_registry.__all__:
        assert getattr(itnet_registry, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = itnet_registry.nothing
