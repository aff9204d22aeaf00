from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import pytest

from itnet_core import API, ComponentSpec, Encoder, Task
from itnet_image.plugin import itnet_register_components

SPECS = itnet_register_components(API)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_declaration_is_true(spec: ComponentSpec) -> None:
    module, _, name = spec.target.partition(":")
    component = getattr(import_module(module), name)
    assert issubclass(component, {"encoder": Encoder, "task": Task}[spec.kind])
    assert component.modality == spec.modality == "image"
    assert component.Config.__doc__


def test_it_is_found_and_imports_no_torch() -> None:
    [entry] = [each for each in entry_points(group="itnet.plugins") if each.name == "image"]
    code = f"import sys, {entry.value}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
