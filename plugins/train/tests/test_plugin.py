from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import entry_points, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import itnet_train
from itnet_registry import Registry
from itnet_train.plugin import itnet_register_commands


def imported_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has imported after `code`."""
    code = f"{code}\nimport json, sys; print(json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(json.loads(printed.splitlines()[-1]))


def test_the_entry_point_names_the_plugin() -> None:
    [entry_point] = entry_points(group="itnet.plugins", name="train")
    assert entry_point.value == "itnet_train.plugin"


def test_its_commands_are_the_registrys() -> None:
    commands = {command.id: command.spec.sections for command in Registry().commands()}
    assert commands["itnet-train/train"] == {"train": "itnet_train.config:TrainConfig"}
    assert {"itnet-train/evaluate", "itnet-train/predict"} <= commands.keys()


def test_declarations_config_and_help_load_neither_torch_nor_lightning() -> None:
    heavy = {"torch", "lightning", "torchmetrics", "numpy"}
    targets = {spec.target.partition(":")[0] for spec in itnet_register_commands(api=1)}
    light = ["itnet_train.plugin", "itnet_train.config", *sorted(targets)]
    assert not imported_by("\n".join(f"import {name}" for name in light)) & heavy
    help_of_train = "from typer.testing import CliRunner\nfrom itnet_registry.cli.app import app\n"
    help_of_train += "result = CliRunner().invoke(app, ['train', '--help'])\nassert 'KEY=VALUE' in result.output"
    assert not imported_by(help_of_train) & heavy


def test_what_it_imports_it_requires() -> None:
    required = {canonicalize_name(Requirement(text).name) for text in requires("itnet-train") or ()}
    providers = packages_distributions()
    for path in Path(itnet_train.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"itnet_train"}:
                provided_by = {canonicalize_name(item) for item in [name, *providers.get(name, [])]}
                assert provided_by & required, f"{path.name} imports {name}"
