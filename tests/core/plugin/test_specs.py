from __future__ import annotations

import subprocess
import sys

import pytest

from itnet_core import CommandSpec, ComponentSpec, PresetSpec
from itnet_core.plugin.builtin import itnet_register_components


def test_declarations_import_no_torch() -> None:
    code = (
        "import sys, itnet_core, itnet_core.plugin.hookspecs, itnet_core.plugin.specs, itnet_core.plugin.builtin;"
        "sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "kernels"},
        {"name": "My Kernel"},
        {"target": "itnet_core.operator.mlp.kernel"},
        {"config_version": 0},
        {"modality": "image"},
        {"kind": "encoder"},
        {"kind": "encoder", "modality": "a.b"},
        {"kind": "task", "modality": "any"},
    ],
)
def test_a_malformed_declaration_is_refused(change: dict[str, object]) -> None:
    good = {"kind": "kernel", "name": "mine", "target": "mine.kernel:Mine", "summary": "mine"}
    ComponentSpec(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ComponentSpec\."):
        ComponentSpec(**(good | change))  # type: ignore[arg-type]


def test_presets_and_commands_are_checked_too() -> None:
    with pytest.raises(ValueError, match=r"PresetSpec\.name"):
        PresetSpec(name="Big!", summary="")
    with pytest.raises(ValueError, match=r"CommandSpec\.sections\['train'\]"):
        CommandSpec(name="train", target="a.b:c", summary="", sections={"train": "a.b"})


def test_the_core_declares_what_it_has() -> None:
    names = {(spec.kind, spec.name) for spec in itnet_register_components(api=1)}
    assert {("kernel", "mlp"), ("sampler", "full"), ("evaluator", "tiled"), ("head", "per-point")} <= names
