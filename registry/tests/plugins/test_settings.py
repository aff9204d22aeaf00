from __future__ import annotations

import pytest

from itnet_registry.plugins.settings import Settings


def test_empty_variables_count_as_unset() -> None:
    environment = dict.fromkeys(("ITNET_PLUGINS", "ITNET_DISABLE", "ITNET_PREFER", "ITNET_STRICT"), "")
    assert Settings.from_environment(environment) == Settings() == Settings.from_environment({})


def test_names_are_normalised_and_split() -> None:
    settings = Settings.from_environment({"ITNET_PLUGINS": "ITNet_Image, acme.thing,", "ITNET_PREFER": "a/b, c/d"})
    assert settings.only == frozenset({"itnet-image", "acme-thing"})
    assert settings.prefer == ("a/b", "c/d")


@pytest.mark.parametrize(
    ("value", "strict"), [("1", True), ("true", True), ("0", False), ("False", False), ("no", False)]
)
def test_strict(value: str, strict: bool) -> None:
    assert Settings.from_environment({"ITNET_STRICT": value}).strict is strict


def test_plugins_are_chosen_by_distribution_or_entry_point() -> None:
    only = Settings(only=frozenset({"image"}))
    assert only.excludes("itnet-image", "image") is None
    assert only.excludes("itnet-text", "text") == "ITNET_PLUGINS"
    disable = Settings(disable=frozenset({"itnet-text"}))
    assert disable.excludes("itnet-text", "text") == "ITNET_DISABLE"
    assert disable.excludes("itnet-image", "image") is None


def test_the_core_is_left_out_only_when_it_is_disabled() -> None:
    assert Settings(only=frozenset({"image"})).excludes("itnet-core", "core") is None
    assert Settings(disable=frozenset({"itnet-core"})).excludes("itnet-core", "core") == "ITNET_DISABLE"
