from __future__ import annotations

import pytest
from packaging.requirements import InvalidRequirement

from itnet_registry.plugins.requirements import at_least, older, pip_install, requirements_on, unmet


def test_unmet() -> None:
    assert unmet(["torch>=2", "torch>=999", "acme-absent", "acme-never; python_version < '3'"]) == (
        "torch>=999",
        "acme-absent",
    )
    with pytest.raises(InvalidRequirement):
        unmet(["not a requirement"])


def test_requirements_on_reads_requirements_on_the_core_alone() -> None:
    found = requirements_on(
        "itnet-core", ["Itnet.Core>=1", "itnet-core<2; extra == 'x'", "itnet-core-more>=3", "no good ("]
    )
    assert [str(item.specifier) for item in found] == [">=1"]


def test_pip_install_is_safe_in_a_shell() -> None:
    assert pip_install(["b>=1", "a", "a"]) == "pip install a 'b>=1'"
    assert pip_install(["a; rm -rf /"], upgrade=True) == "pip install --upgrade 'a; rm -rf /'"


@pytest.mark.parametrize(("found", "expected"), [("1.2", "a>=1.2"), ("1.2+cpu", "a>=1.2"), ("unknown", "a")])
def test_at_least(found: str, expected: str) -> None:
    assert at_least("a", found) == expected


@pytest.mark.parametrize(("left", "right", "expected"), [("1.9", "1.10", True), ("2", "1", False), ("x", "1", False)])
def test_older(left: str, right: str, expected: bool) -> None:
    assert older(left, right) is expected
