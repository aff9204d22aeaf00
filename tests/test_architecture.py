"""The arrows of the design: plugins → tasks → core, registry → core, train → registry; nothing else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "itnet_core": ROOT / "itnet_core",
    "itnet_registry": ROOT / "registry/itnet_registry",
    "itnet_tasks": ROOT / "tasks/itnet_tasks",
    **{path.name: path for path in sorted(ROOT.glob("plugins/*/itnet_*"))},
}
MAY_IMPORT = {
    "itnet_core": set(),
    "itnet_testing": {"itnet_core", "itnet_registry"},  # it assembles, saves and loads models
    "itnet_registry": {"itnet_core"},
    "itnet_tasks": {"itnet_core"},
    "itnet_train": {"itnet_core", "itnet_registry"},
    "itnet_vision_language": {"itnet_core", "itnet_registry", "itnet_tasks"},  # other encoders, by their names
}
THIRD_PARTIES_OF_THE_CORE = {"torch", "pluggy", "pydantic"}


def imports_of(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, in functions and under TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


def files_of(package: str) -> list[Path]:
    """Return the Python files of a package, less those of another one inside it."""
    inner = [path for path in PACKAGES.values() if PACKAGES[package] in path.parents]
    return [path for path in PACKAGES[package].rglob("*.py") if not any(each in path.parents for each in inner)]


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_run_one_way(package: str) -> None:
    files = files_of(package)
    assert files
    allowed = MAY_IMPORT.get(package, {"itnet_core", "itnet_tasks"}) | {package}
    for path in files:
        ours = {name for name in imports_of(path) if name.startswith("itnet_")}
        assert ours <= allowed, f"{path} imports {sorted(ours - allowed)}"


def test_the_core_needs_torch_pluggy_and_pydantic_alone() -> None:
    standard = set(sys.stdlib_module_names) | {"itnet_core"}
    for path in files_of("itnet_core"):
        assert imports_of(path) - standard <= THIRD_PARTIES_OF_THE_CORE, path


@pytest.mark.parametrize("path", sorted(p for d in PACKAGES.values() for p in d.rglob("*.py")), ids=str)
def test_nothing_runs_code_from_data(path: Path) -> None:
    """No pickle, no unrestricted `torch.load`, no `eval` or `exec`."""
    assert not imports_of(path) & {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        assert name not in ("eval", "exec", "yaml.load", "yaml.unsafe_load"), path
        if name == "torch.load":
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert options.get("weights_only") == "True", path
