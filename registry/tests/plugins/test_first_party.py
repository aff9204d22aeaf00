from __future__ import annotations

from typing import Any

import pytest

from itnet_core.plugin.specs import KINDS
from itnet_registry import Registry, Settings
from itnet_registry.plugins.first_party import names, provider


@pytest.mark.parametrize(
    ("kind", "name", "distribution"),
    [
        ("encoder", "patch", "itnet-image"),
        ("encoder", "itnet-image/patch", "itnet-image"),
        ("task", "glue/cola", "itnet-text"),
        ("task", "itnet-text/glue/cola", "itnet-text"),
        ("component", "mamba2", "itnet-kernels"),
        ("command", "train", "itnet-train"),
        ("section", "train", "itnet-train"),
        ("kernel", "patch", None),
        ("encoder", "acme/patch", None),
        ("component", "train", None),
    ],
)
def test_provider(kind: Any, name: str, distribution: str | None) -> None:
    assert provider(kind, name) == distribution


def test_names_leave_families_out() -> None:
    assert "text-table" in names("task")
    assert not [name for kind in KINDS for name in names(kind) if "*" in name]


def test_what_is_installed_of_ours_brings_what_the_table_says() -> None:
    """Every first-party component that is installed is in the table, under its own distribution."""
    components = Registry(settings=Settings()).components()
    ours = [
        c for c in components if c.source.distribution.startswith("itnet-") and c.source.distribution != "itnet-core"
    ]
    assert {(c.id, provider(c.kind, c.name)) for c in ours} == {(c.id, c.source.distribution) for c in ours}
