from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from itnet_core.plugin.specs import KINDS
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
        ("command", "test-plugin", "itnet-testing"),
        ("section", "train", "itnet-train"),
        ("kernel", "patch", None),
        ("encoder", "acme/patch", None),
        ("component", "train", None),
    ],
)
def test_provider(kind: Any, name: str, distribution: str | None) -> None:
    assert provider(kind, name) == distribution


def test_names_are_bare() -> None:
    assert "text-table" in names("task")
    assert not [name for kind in KINDS for name in names(kind) if name.startswith("itnet-")]


def test_the_table_is_current() -> None:
    script = Path(__file__).parents[2] / "first_party.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
