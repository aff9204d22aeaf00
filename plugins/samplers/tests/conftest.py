"""Marks of slow tests."""

from __future__ import annotations

import pytest

COMPILED_ONLY_BY_TEST_ALL = {"TestUniform", "TestChannel", "TestLearned", "TestPriority", "TestRadius"}
"""Other configurations of a sampler that `make test` compiles once: tracing takes seconds each time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them."""
    for item in items:
        if item.name == "test_check[compile]" and item.nodeid.split("::")[1] in COMPILED_ONLY_BY_TEST_ALL:
            item.add_marker(pytest.mark.slow)
