"""The arrows of the design: between packages, between the rooms of a package, and no circle of files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "itnet_core": ROOT / "itnet_core",
    "itnet_registry": ROOT / "registry/itnet_registry",
    "itnet_tasks": ROOT / "tasks/itnet_tasks",
    "itnet": ROOT / "meta/itnet",
    **{path.name: path for path in sorted(ROOT.glob("plugins/*/itnet_*"))},
}
MAY_IMPORT = {
    "itnet_core": set(),
    "itnet_testing": {"itnet_core", "itnet_registry"},  # it assembles, saves and loads models
    "itnet_registry": {"itnet_core"},
    "itnet_tasks": {"itnet_core"},
    "itnet_train": {"itnet_core", "itnet_registry"},
    "itnet": {"itnet_registry", "itnet_train"},  # their facades in one package
    "itnet_kernels": {"itnet_core", "itnet_registry"},  # kernels made of others, by their names
    "itnet_explain": {"itnet_core", "itnet_registry"},  # it loads checkpoints
    "itnet_graph": {"itnet_core", "itnet_registry", "itnet_tasks"},  # message passing by other kernels, by their names
    "itnet_vision_language": {"itnet_core", "itnet_registry", "itnet_tasks"},  # other encoders, by their names
}
THIRD_PARTIES_OF_THE_CORE = {
    "torch",
    "pluggy",
    "pydantic",
    "pydantic_core",  # part of pydantic: its errors
    "typing_extensions",  # for type checkers alone
}
INNER_BUT_IMPORTED = {
    "models.neighbours.distance_blocks",
    "models.z_order.along_curve",
    "operator.evaluators.dense.pair_values",
    "operator.evaluators.dense.pair_weights",
    "operator.evaluators.dense.weigh_edge",
    "operator.mlp.ADDITIVE",
    "operator.stateless.with_parameters",
    "operator.transforms.EXPORT",
    "operator.transforms.transform_of",
    "plugin.errors.did_you_mean",
    "plugin.files.atomic_path",
    "plugin.files.partial_path",
    "plugin.files.partial_paths",
    "plugin.files.previous_path",
}
"""Names of the core that only plugins of this project need: they are not exported, and may change."""

ROOMS = {
    "itnet_core": ("plugin", "operator", "models"),
    "itnet_registry": ("errors", "plugins", "config", "build", "checkpoints", "prediction", "api", "cli"),
}
"""The folders and files of a package in the order of their arrows: each imports from those before it alone."""


def imported_names(path: Path) -> Iterator[str]:
    """Yield imported names, `package.module` or `package.module.name`, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(path: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imported_names(path)}


def files_of(package: str) -> list[Path]:
    """Return the Python files of a package."""
    return sorted(PACKAGES[package].rglob("*.py"))


def arrows_of(package: str) -> dict[str, set[str]]:
    """Return the modules of a package that each of its modules imports."""
    root = PACKAGES[package]
    modules = {
        ".".join([package, *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in files_of(package)
    }
    arrows = {}
    for module, path in modules.items():
        names = set(imported_names(path))
        targets = {name if name in modules else name.rpartition(".")[0] for name in names}
        arrows[module] = (targets & modules.keys()) - {module}
    return arrows


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_run_one_way(package: str) -> None:
    files = files_of(package)
    assert files
    allowed = MAY_IMPORT.get(package, {"itnet_core", "itnet_tasks"}) | {package}
    for path in files:
        ours = {name for name in imports_of(path) if name.startswith("itnet_")}
        assert ours <= allowed, f"{path} imports {sorted(ours - allowed)}"


@pytest.mark.parametrize("package", sorted(PACKAGES.keys() - {"itnet_core", "itnet_registry"}))
def test_plugins_import_what_the_core_exports(package: str) -> None:
    for path in files_of(package):
        inner = {name.removeprefix("itnet_core.") for name in imported_names(path) if name.startswith("itnet_core.")}
        inner = {name for name in inner if "." in name}
        assert inner <= INNER_BUT_IMPORTED, f"{path} imports {sorted(inner - INNER_BUT_IMPORTED)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_files(package: str) -> None:
    try:
        list(TopologicalSorter(arrows_of(package)).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("package", ROOMS)
def test_arrows_between_rooms_run_one_way(package: str) -> None:
    rooms = ROOMS[package]

    def room(module: str) -> str:
        return f"{module}.".split(".")[1]

    for module, targets in arrows_of(package).items():
        if room(module) in ("", "__main__"):  # the package's own exports, and its command
            continue
        allowed = rooms[: rooms.index(room(module)) + 1]
        wrong = [target for target in targets if room(target) not in ("", *allowed)]
        assert not wrong, f"{module} imports {wrong}"


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


def test_a_public_class_has_a_name_of_its_own() -> None:
    places: dict[str, Path] = {}
    for path in (path for package in PACKAGES for path in files_of(package)):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                other = places.setdefault(node.name, path)
                assert other == path, f"{node.name} in {other} and {path}"


def test_pytest_enters_every_folder_with_tests(pytestconfig: pytest.Config) -> None:
    """By default it skips folders named `build`, as one of the registry's is."""
    skipped = pytestconfig.getini("norecursedirs")
    folders = {
        part
        for room in pytestconfig.getini("testpaths")
        for path in (ROOT / room).rglob("test_*.py")
        for part in path.relative_to(ROOT).parts[:-1]
    }
    assert [folder for folder in folders if any(fnmatch(folder, pattern) for pattern in skipped)] == []
