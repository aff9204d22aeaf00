from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from itnet_core import ConfigError
from itnet_registry import AmbiguousNameError, ComponentError
from itnet_registry.config.sections import section_model, section_models

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

PLUGIN = """
    @hookimpl
    def itnet_register_commands(api):
        return [CommandSpec(name="{name}", target="acme_a.parts:run", summary="", sections={{"extra": "{target}"}})]
"""


def test_a_section_has_its_commands_model(garden: Garden) -> None:
    garden.toy()
    registry = garden.registry()
    assert section_model(registry, "greet", "greet")().model_dump() == {"name": "world"}
    assert list(section_models(registry)) == ["greet"]


def test_an_unknown_section(garden: Garden) -> None:
    garden.toy()
    with pytest.raises(
        ConfigError, match=r"^gret: found a section that no command reads.*one of model, task, greet.*'greet'"
    ):
        section_model(garden.registry(), "gret", "gret")
    with pytest.raises(ConfigError, match="itnet-train reads it: pip install itnet-train"):
        section_model(garden.registry(), "train", "train")


def test_the_same_model_twice_is_one(garden: Garden) -> None:
    target = "itnet_toy.command:Greeting"
    garden.toy()
    garden.plant("acme-a", PLUGIN.format(name="one", target=target))
    garden.plant("acme-b", PLUGIN.format(name="two", target=target))
    assert section_model(garden.registry(), "extra", "extra").__name__ == "Greeting"


def test_two_models_of_one_section_are_an_error(garden: Garden) -> None:
    garden.plant("acme-a", PLUGIN.format(name="one", target="acme_a.parts:A"))
    garden.plant("acme-b", PLUGIN.format(name="two", target="acme_b.parts:B"))
    with pytest.raises(AmbiguousNameError, match=r"acme-a/one \(acme_a.parts:A\), acme-b/two \(acme_b.parts:B\)"):
        section_model(garden.registry(), "extra", "extra")


@pytest.mark.parametrize("parts", ["raise RuntimeError", "A = 3", "class A: pass", "raise SystemExit"])
def test_a_model_that_is_none_has_an_owner(garden: Garden, parts: str) -> None:
    garden.plant("acme-a", PLUGIN.format(name="one", target="acme_a.parts:A"), modules={"parts": parts})
    with pytest.raises(ComponentError, match=r"^section extra of acme-a 1.0: found"):
        section_model(garden.registry(), "extra", "extra")
