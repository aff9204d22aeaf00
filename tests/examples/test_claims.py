"""Real pretrained models compute the same by integral operators, where their weights were fetched."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest


def load() -> Any:
    """Import examples/claims.py, which is a script and no package."""
    file = Path(__file__).parents[2] / "examples/claims.py"
    spec = spec_from_file_location("claims", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["claims"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


claims = load()


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_a_converted_model_computes_the_same(name: str) -> None:
    if absent := claims.missing(name):
        pytest.skip(f"python examples/fetch_data.py {' '.join(absent)} was not run: there are no weights or data")
    check, _ = claims.CLAIMS[name]
    actual = check(claims.DATA)
    assert actual.holds, actual
