from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from itnet_core.plugin.specs import Kind
from itnet_registry import Component, ComponentError, RequirementError, UnknownNameError

if TYPE_CHECKING:
    from registry.tests.conftest import Garden


def plant(
    garden: Garden, kind: Kind = "kernel", target: str = "acme_a.parts:Part", *, parts: str = "", more: str = ""
) -> Component:
    plugin = f"""
    @hookimpl
    def itnet_register_components(api):
        return [ComponentSpec(kind="{kind}", name="part", target="{target}", summary=""{more})]
    """
    garden.plant("acme-a", plugin, modules={"parts": parts})
    return garden.registry().component(kind, "part")


def test_authors_are_told_where_and_others_whom_to_ask(garden: Garden) -> None:
    parts = "from itnet_core import MLPKernel\n\n\nclass Part(MLPKernel):\n    Config = dict\n"
    with pytest.raises(ComponentError, match=r"This is a fault of acme-a 1\.0; report it to its authors"):
        plant(garden, parts=parts).load()
    garden.forget()
    [info] = garden.root.glob("acme_a-*.dist-info")
    file = garden.root / "acme_a/parts.py"
    (info / "direct_url.json").write_text('{"url": "file:///src", "dir_info": {"editable": true}}')
    with pytest.raises(ComponentError) as caught:
        garden.registry().component("kernel", "part").load()
    assert caught.value.hint == f"Fix it in {file}:4."
    for text, line in (("import math\n\nmath.nothing", 3), ("def (", 1)):
        garden.forget()
        file.write_text(text)
        with pytest.raises(ComponentError) as caught:
            garden.registry().component("kernel", "part").load()
        assert caught.value.hint == f"Fix it in {file}:{line}."
    garden.forget()
    (garden.root / "acme_a/plugin.py").write_text("import math\nmath.nothing")
    message = f"AttributeError: module 'math' has no attribute 'nothing' ({garden.root / 'acme_a/plugin.py'}:2)"
    with pytest.raises(UnknownNameError, match=re.escape(message)):
        garden.registry().component("kernel", "part")


def test_a_target_is_imported_on_use_and_not_before(garden: Garden) -> None:
    import sys

    component = plant(garden, parts="from itnet_core import MLPKernel as Part")
    assert "acme_a.parts" not in sys.modules
    assert component.load().__name__ == "MLPKernel"
    assert component.id == "acme-a/part"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck, when acme_a.parts:Part was imported"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("", "has no attribute 'Part'"),
        ("Part = 3", "expected a subclass of itnet_core.Kernel"),
        ("from itnet_core import FullSampler as Part", "expected a subclass of itnet_core.Kernel"),
        ("def Part(dim): pass", "expected a subclass of itnet_core.Kernel"),
        ("from itnet_core import Kernel\nclass Part(Kernel): pass", "Part without project, tile"),
        (
            "from itnet_core import MLPKernel\nclass Part(MLPKernel):\n    Config = dict",
            "expected a subclass of ComponentConfig",
        ),
        (
            "from itnet_core import MLPKernel\nfrom pydantic import BaseModel\n"
            "class Part(MLPKernel):\n    class Config(BaseModel): pass",
            "expected a subclass of ComponentConfig",
        ),
        (
            "from itnet_core import ComponentConfig, MLPKernel\n"
            "class Part(MLPKernel):\n    class Config(ComponentConfig):\n        name: str = ''",
            "a field 'name' in Part.Config",
        ),
    ],
)
def test_a_target_that_is_not_what_was_declared_is_an_error_with_an_owner(
    garden: Garden, parts: str, message: str
) -> None:
    with pytest.raises(ComponentError) as caught:
        plant(garden, parts=parts).load()
    assert str(caught.value).startswith("kernel acme-a/part of acme-a 1.0: found ")
    assert message in str(caught.value)


@pytest.mark.parametrize("declared", ["image", "text"])
def test_the_class_and_the_declaration_agree_on_the_modality(garden: Garden, declared: str) -> None:
    parts = """
    from itnet_core import Encoder
    class Part(Encoder):
        modality = "image"
        def forward(self, inputs): return inputs
    """
    component = plant(garden, "encoder", parts=parts, more=f", modality='{declared}'")
    if declared == "image":
        assert component.load().modality == "image"
    else:
        with pytest.raises(ComponentError, match=r"Part\.modality = 'image'; expected 'text'"):
            component.load()


def test_an_encoder_that_never_says_its_modality(garden: Garden) -> None:
    parts = "from itnet_core import Encoder\nclass Part(Encoder):\n    def forward(self, inputs): return inputs"
    with pytest.raises(ComponentError, match=r"Part\.modality = None"):
        plant(garden, "encoder", parts=parts, more=", modality='image'").load()


def test_what_a_component_requires_is_checked_on_use_with_one_command(garden: Garden) -> None:
    requires = ("torch", "torch>=999", "acme-absent[fast]>=2; python_version>'3'", "acme-never; python_version<'3'")
    component = plant(garden, parts="raise RuntimeError('imported')", more=f", requires={requires}")
    with pytest.raises(RequirementError) as caught:
        component.load()
    assert caught.value.requirements == requires[1:3]
    assert str(caught.value).endswith(
        """Run: pip install 'acme-absent[fast]>=2; python_version>'"'"'3'"'"'' 'torch>=999'"""
    )


def test_requirements_that_are_met(garden: Garden) -> None:
    component = plant(
        garden, parts="from itnet_core import MLPKernel as Part", more=", requires=('torch>=2', 'pydantic')"
    )
    assert component.load().__name__ == "MLPKernel"
