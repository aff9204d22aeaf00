from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from itnet_core import __version__

if TYPE_CHECKING:
    from registry.tests.conftest import Garden


def test_finds_by_metadata_and_imports_nothing(garden: Garden) -> None:
    garden.plant("acme-thing", "raise RuntimeError('imported')")
    [source] = [s for s in garden.registry().discovery.sources if s.distribution == "acme-thing"]
    assert (source.module, source.version, source.requires) == (
        "acme_thing.plugin",
        "1.0",
        (f"itnet-core=={__version__}",),
    )
    assert source.location == str(garden.root)
    assert "acme_thing" not in sys.modules


def test_names_are_normalised(garden: Garden) -> None:
    garden.plant("ACME-Thing")
    assert "acme-thing" in {source.distribution for source in garden.registry().discovery.sources}


def test_the_environment_chooses_before_anything_is_imported(garden: Garden) -> None:
    garden.plant("acme-a", "raise RuntimeError('imported')")
    garden.plant("acme-b")
    registry = garden.registry(disable=frozenset({"acme-a"}))
    assert registry.available()
    assert registry.faults == ()
    assert [(source.distribution, variable) for source, variable in registry.discovery.excluded] == [
        ("acme-a", "ITNET_DISABLE")
    ]
    registry = garden.registry(only=frozenset({"acme-b"}))
    assert {source.distribution for source in registry.discovery.sources} == {"acme-b", "itnet-core"}


def test_a_distribution_found_twice_is_one(garden: Garden) -> None:
    elsewhere = garden.root.parent / "editable"
    garden.folders.append(elsewhere)
    for folder in (garden.root, elsewhere):
        garden.plant("acme-thing", folder=folder)
    actual = garden.registry().discovery
    assert [source.distribution for source in actual.sources] == ["acme-thing", "itnet-core"]
    assert actual.shadowed == ()


def test_another_version_behind_the_first_is_noted(garden: Garden) -> None:
    elsewhere = garden.root.parent / "old"
    garden.folders.append(elsewhere)
    garden.plant("acme-thing", version="2.0")
    garden.plant("acme-thing", version="1.0", folder=elsewhere)
    actual = garden.registry().discovery
    assert [source.version for source in actual.sources if source.distribution == "acme-thing"] == ["2.0"]
    assert [source.version for source in actual.shadowed] == ["1.0"]


def test_two_plugins_of_one_distribution_are_both_found(garden: Garden) -> None:
    garden.plant("acme-thing", entry="one = acme_thing.plugin\ntwo = acme_thing.plugin")
    actual = garden.registry().discovery
    assert [s.entry_point for s in actual.sources if s.distribution == "acme-thing"] == ["one", "two"]
    assert actual.shadowed == ()


def test_metadata_that_cannot_be_read_are_a_fault_of_stage_discover(garden: Garden) -> None:
    garden.metadata("acme-broken", "1.0", (), "[itnet.plugins]\nthis is no entry point\n")
    garden.metadata("acme-odd", "1.0", (), "[itnet.plugins]\nodd = not a module!\n")
    (garden.metadata("acme-nameless", "1.0", (), "[itnet.plugins]\na = a.plugin\n") / "METADATA").write_text("")
    garden.metadata("acme-strange", "strange", (), "[itnet.plugins]\na = a.plugin\n")
    unversioned = garden.metadata("acme-unversioned", "1.0", (), "[itnet.plugins]\na = a.plugin\n") / "METADATA"
    unversioned.write_text("Metadata-Version: 2.1\nName: acme-unversioned\n")
    garden.plant("acme-thing")
    actual = garden.registry().discovery
    assert "acme-thing" in {source.distribution for source in actual.sources}
    assert {fault.stage for fault in actual.faults} == {"discover"}
    faulty = {fault.distribution for fault in actual.faults}
    assert {"acme-broken", "acme-odd", "acme-strange", "acme-unversioned"} < faulty
    assert len(actual.faults) == 5
    assert all(fault.traceback for fault in actual.faults)


def test_distributions_of_others_are_none_of_ours(garden: Garden) -> None:
    garden.metadata("broken-stranger", "1.0", (), "[console_scripts]\nthis is no entry point\n")
    assert garden.registry().discovery.faults == ()
