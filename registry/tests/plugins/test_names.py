from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from itnet_core import ITNetError
from itnet_registry import AmbiguousNameError, Registry, UnknownNameError
from itnet_registry.config.sections import section_model
from itnet_registry.plugins.names import canonical, choose

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

OTHER = "itnet_core.operator.sampler:FullSampler"


def test_a_bare_name_stands_for_the_one_that_has_it(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "only")
    registry = garden.registry()
    assert registry.component("kernel", "only").id == "acme-a/only"
    assert registry.component("kernel", "acme-a/only").id == "acme-a/only"
    assert registry.component("kernel", "ACME_a/only").id == "acme-a/only"


def test_the_same_name_in_another_kind_is_another_thing(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "full")
    registry = garden.registry()
    assert registry.component("kernel", "full").id == "acme-a/full"
    assert registry.component("sampler", "full").id == "itnet-core/full"


def test_two_that_have_it_are_an_error_that_names_both(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "twin", "acme_a.x:X")
    garden.plant_kernel("acme-b", "twin", "acme_b.x:X")
    with pytest.raises(AmbiguousNameError) as caught:
        garden.registry().component("kernel", "twin", place="model.kernel")
    message = str(caught.value)
    assert message.startswith("model.kernel: found 'twin'")
    assert "acme-a/twin" in message
    assert "acme-b/twin" in message
    assert "ITNET_PREFER=acme-a/twin" in message


def test_the_canonical_id_always_stands_for_itself(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "twin", "acme_a.x:X")
    garden.plant_kernel("acme-b", "twin", "acme_b.x:X")
    garden.plant_kernel("acme-c", "acme-a/twin", "acme_c.x:X")
    for name in ("acme-a/twin", "acme-b/twin", "acme-c/acme-a/twin"):
        assert garden.registry().component("kernel", name).id == name


def test_the_identical_target_twice_is_no_error(garden: Garden) -> None:
    garden.plant_kernel("acme-b", "twin")
    garden.plant_kernel("acme-a", "twin")
    assert garden.registry().component("kernel", "twin").id == "acme-a/twin"


def test_a_preference_pins_one(garden: Garden) -> None:
    for name in ("acme-a", "acme-b", "acme-c"):
        garden.plant_kernel(name, "twin", f"{name.replace('-', '_')}.x:X")
    assert garden.registry(prefer=("acme-b/twin",)).component("kernel", "twin").id == "acme-b/twin"
    registry = garden.registry(prefer=("acme-b/twin",))
    assert registry.component("kernel", "twin", prefer=("acme-c/twin",)).id == "acme-c/twin"
    with pytest.raises(AmbiguousNameError):
        garden.registry(prefer=("acme-b/twin", "acme-c/twin")).component("kernel", "twin")
    with pytest.raises(AmbiguousNameError):
        garden.registry(prefer=("acme-d/twin",)).component("kernel", "twin")


def test_the_argument_goes_before_the_environment(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    from itnet_registry import Registry

    for name in ("acme-a", "acme-b"):
        garden.plant_kernel(name, "twin", f"{name.replace('-', '_')}.x:X")
    monkeypatch.setenv("ITNET_PREFER", "acme-a/twin")
    assert Registry().component("kernel", "twin").id == "acme-a/twin"
    assert Registry(prefer=["acme-b/twin"]).component("kernel", "twin").id == "acme-b/twin"


def test_nothing_depends_on_the_order_of_discovery(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.plant_kernel("acme-a", "twin", "acme_a.x:X")
    garden.plant_kernel("acme-b", "twin", "acme_b.x:X")
    garden.plant_kernel("acme-c", "same")
    garden.plant_kernel("acme-d", "same")
    outcomes = set()
    for order in itertools.permutations(garden.distributions()):
        monkeypatch.setattr("itnet_registry.plugins.discovery.distributions", lambda order=order: order)
        registry = garden.registry()
        with pytest.raises(AmbiguousNameError) as caught:
            registry.component("kernel", "twin")
        outcomes.add((str(caught.value), registry.component("kernel", "same").id, *registry.available()))
    assert len(outcomes) == 1


def test_nothing_depends_on_what_was_asked_before(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "twin", "acme_a.x:X")
    garden.plant(
        "acme-b",
        """
        @hookimpl
        def itnet_register_components(api):
            return [ComponentSpec(kind="kernel", name="twin", target="acme_b.x:X", summary="")]
        @hookimpl
        def itnet_register_presets(api):
            raise RuntimeError("late")
        """,
    )
    early, late = garden.registry(), garden.registry()
    late.presets()
    assert early.component("kernel", "twin").id == late.component("kernel", "twin").id == "acme-a/twin"


def test_choosing_does_not_depend_on_the_order_of_declarations(garden: Garden) -> None:
    for name in ("acme-a", "acme-b"):
        garden.plant_kernel(name, "same")
    components = garden.registry().components("kernel")
    chosen = [choose("", "same", ordered, ()) for ordered in (components, components[::-1])]
    assert {component and component.id for component in chosen} == {"acme-a/same"}


def test_an_unknown_name_lists_what_there_is_and_what_was_meant(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "gravity")
    with pytest.raises(UnknownNameError) as caught:
        garden.registry().component("kernel", "gravitty", place="model.kernel")
    message = str(caught.value)
    assert message.startswith("model.kernel: found 'gravitty', which no installed plugin provides")
    assert "gravity, mlp" in message
    assert "Did you mean 'gravity'?" in message


@pytest.mark.parametrize(
    ("kind", "name", "distribution"),
    [
        ("kernel", "attention", "itnet-kernels"),
        ("encoder", "itnet-image/patch", "itnet-image"),
        ("task", "glue/sst-2", "itnet-text"),
        ("task", "itnet-text/glue/sst-2", "itnet-text"),
        ("sampler", "monte-carlo", "itnet-samplers"),
    ],
)
def test_a_component_of_ours_that_is_not_installed_comes_with_the_command(
    garden: Garden, kind: Any, name: str, distribution: str
) -> None:
    with pytest.raises(
        UnknownNameError, match=f"{distribution} provides it, and is not installed: pip install {distribution}"
    ):
        garden.registry().component(kind, name)


def test_a_misspelt_component_of_ours_that_is_not_installed(garden: Garden) -> None:
    with pytest.raises(
        UnknownNameError, match=r"Did you mean 'attention' of itnet-kernels \(pip install itnet-kernels\)\?"
    ):
        garden.registry().component("kernel", "atention")


def test_a_plugin_in_quarantine_is_quoted(garden: Garden) -> None:
    garden.plant("itnet-image", "raise RuntimeError('no codec')", version="0.1.0")
    with pytest.raises(UnknownNameError) as caught:
        garden.registry().component("encoder", "patch")
    assert "itnet-image 0.1.0 is in quarantine since stage 'import': RuntimeError: no codec" in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_a_plugin_that_the_environment_leaves_out_is_named(garden: Garden) -> None:
    garden.plant("itnet-image", version="0.1.0")
    with pytest.raises(UnknownNameError, match=r"ITNET_DISABLE leaves out itnet-image 0\.1\.0") as caught:
        garden.registry(disable=frozenset({"image", "itnet-image"})).component("encoder", "patch")
    assert "pip install" not in str(caught.value)


def test_a_component_that_an_old_version_lacks(garden: Garden) -> None:
    garden.plant("itnet-image", version="0.0.1")
    with pytest.raises(UnknownNameError, match=r"itnet-image 0\.0\.1 is installed.*pip install --upgrade itnet-image"):
        garden.registry().component("encoder", "patch")


def test_nothing_of_a_kind_is_installed(garden: Garden) -> None:
    with pytest.raises(UnknownNameError, match="expected a task; none is installed"):
        garden.registry().component("task", "anything")


@pytest.mark.parametrize(("name", "expected"), [("patch", "patch"), ("A_b/c", "a-b/c"), ("a/b/C", "a/b/C")])
def test_canonical(name: str, expected: str) -> None:
    assert canonical(name) == expected


def test_a_plugin_that_takes_our_names_breaks_nothing_that_is_said_in_full(garden: Garden) -> None:
    """Presets, tasks and defaults say their parts in full, so what a stranger calls his own is in nobody's way."""
    garden.toy()
    registry = garden.registry()
    declared = [
        f"ComponentSpec(kind={spec.kind!r}, name={spec.name!r}, target='a.b:C', summary='', modality={spec.modality!r})"
        for spec in (component.spec for component in registry.components())
    ]
    presets = [f"PresetSpec(name={preset.name!r}, summary='')" for preset in registry.presets()]
    garden.plant(
        "acme-copycat",
        f"""
        @hookimpl
        def itnet_register_components(api): return [{", ".join(declared)}]
        @hookimpl
        def itnet_register_presets(api): return [{", ".join(presets)}]
        """,
    )
    registry = garden.registry()
    with pytest.raises(AmbiguousNameError, match="acme-copycat/pixels .*, itnet-toy/pixels"):
        registry.component("encoder", "pixels")
    for preset in ("itnet-toy/toy", "itnet-core/itnet-nano"):
        model = registry.create_model(preset, encoder="itnet-toy/pixels", task="itnet-toy/stripes")
        assert "acme" not in str(model.config)


LONG = "x" * 10_000_000


@pytest.mark.parametrize(
    "ask",
    [
        lambda registry: registry.component("kernel", LONG),
        lambda registry: registry.component("kernel", f"acme/{LONG}"),
        lambda registry: registry.preset(LONG),
        lambda registry: registry.command(LONG),
        lambda registry: registry.create_model("toy", encoder="pixels", heads={}, kernel=LONG),
        lambda registry: section_model(registry, LONG, "section"),
    ],
    ids=["bare", "canonical", "preset", "command", "model", "section"],
)
def test_a_name_that_is_too_long_to_be_one_is_refused_at_once(
    garden: Garden, ask: Callable[[Registry], object]
) -> None:
    garden.toy()
    start = time.process_time()
    with pytest.raises(ITNetError) as caught:
        ask(garden.registry())
    assert time.process_time() - start < 1.5  # comparing it with every name took seconds
    assert len(str(caught.value)) < 5000
