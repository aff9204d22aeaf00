"""Each distribution as an sdist and a wheel, and each modality with its declared dependencies alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import chdir
from email import message_from_bytes
from email.message import Message
from functools import cache
from importlib.metadata import Distribution, distribution
from pathlib import Path

import hatchling.build
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "itnet-core": ROOT,
    "itnet-registry": ROOT / "registry",
    "itnet-tasks": ROOT / "tasks",
    "itnet": ROOT / "meta",
    **{f"itnet-{path.parent.name.replace('_', '-')}": path.parent for path in ROOT.glob("plugins/*/pyproject.toml")},
}

NAMES = [pytest.param(name, marks=pytest.mark.slow) if name == "itnet-native" else name for name in FOLDERS]
"""The compiler takes a minute for `itnet-native`."""

SITE = "https://itnet.github.io/itnet/"
BLOB = "https://github.com/itnet/itnet/blob/main/"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build a distribution, once: its sdist, and from that alone its wheel. In this process, which is faster."""
    out = tmp_path_factory.mktemp("wheels")

    @cache
    def build(name: str) -> Path:
        with chdir(FOLDERS[name]):
            sdist = hatchling.build.build_sdist(str(out))
        with tarfile.open(out / sdist) as archive:
            archive.extractall(out, filter="data")
        with chdir(out / sdist.removesuffix(".tar.gz")):
            return out / hatchling.build.build_wheel(str(out))

    return build


def needed(names: list[str]) -> dict[str, Distribution]:
    """Return the given installed distributions and those that they need, by what metadata declares."""
    actual: dict[str, Distribution] = {}
    waiting = [(name, frozenset[str]()) for name in names]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        dist = actual[name] = distribution(name)
        for requirement in map(Requirement, dist.requires or []):
            wanted = (
                [requirement.marker.evaluate({"extra": extra}) for extra in (extras or {""})]
                if requirement.marker
                else [True]
            )
            if any(wanted):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return actual


@pytest.fixture(scope="session")
def alone(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a folder of packages: registry and one plugin, and what they declare that they need; ours from wheels."""

    @cache
    def make(plugin: str) -> Path:
        site = tmp_path_factory.mktemp(plugin)
        for name, dist in needed(["itnet-registry", plugin]).items():
            if name in FOLDERS:
                zipfile.ZipFile(wheel(name)).extractall(site)
                continue
            for file in dist.files or []:
                top = file.parts[0]
                source = Path(str(dist.locate_file(top)))
                if top not in ("..", "__pycache__") and not (site / top).exists() and source.exists():
                    (site / top).symlink_to(source)
        return site

    return make


@pytest.fixture(scope="session")
def image_only(alone: Callable[[str], Path]) -> Path:
    return alone("itnet-image")


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages of `site` and the standard library alone."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ITNET"))}
    return subprocess.run(
        [sys.executable, "-S", "-P", *arguments],
        env=environment | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        cwd=site,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_holds_its_package_and_its_licence(name: str, wheel: Callable[[str], Path]) -> None:
    files = zipfile.ZipFile(wheel(name)).namelist()
    package = name.replace("-", "_")
    assert {path.partition("/")[0].partition("-")[0] for path in files} == {package}
    assert f"{package}/py.typed" in files
    assert any(path.endswith("licenses/LICENSE") for path in files)
    assert not any("tests/" in path for path in files)


@pytest.mark.slow
def test_the_native_wheel_holds_the_library_for_this_platform(wheel: Callable[[str], Path]) -> None:
    """A compiler is among what the tests need."""
    native = wheel("itnet-native")
    assert "itnet_native/libitnet_native.so" in zipfile.ZipFile(native).namelist()
    assert native.stem.partition("-py3-none-")[2] not in ("", "any")


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


@pytest.mark.parametrize("name", NAMES)
def test_metadata_are_complete(name: str, wheel: Callable[[str], Path]) -> None:
    fields = metadata(wheel(name))
    assert fields["Author"] == "The ITNet authors"
    assert fields["License-Expression"] == "Apache-2.0"
    labels = {url.partition(",")[0] for url in fields.get_all("Project-URL", [])}
    assert labels == {"Homepage", "Documentation", "Repository", "Changelog", "Issues"}
    assert "Typing :: Typed" in fields.get_all("Classifier", [])


@pytest.mark.parametrize("name", NAMES)
def test_links_of_the_long_description_are_absolute_and_lead_somewhere(name: str, wheel: Callable[[str], Path]) -> None:
    text = metadata(wheel(name)).get_payload(decode=True)
    assert isinstance(text, bytes)
    for target in re.findall(r"\]\(([^)#\s]+)", text.decode()):
        assert target.startswith("https://"), target
        if target.startswith(BLOB):
            assert (ROOT / target.removeprefix(BLOB)).exists(), target
        if target.startswith(SITE):
            page = ROOT / "docs" / target.removeprefix(SITE)
            assert page.with_suffix(".md").exists() or (page / "index.md").exists(), target


def bump(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tools/bump.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_distributions_agree_on_their_shared_metadata() -> None:
    done = bump(ROOT, "--check")
    assert done.returncode == 0, f"run `python tools/bump.py`; out of date: {done.stdout}{done.stderr}"


def test_one_command_writes_a_version_everywhere(tmp_path: Path) -> None:
    folders = [*FOLDERS.values(), ROOT / "examples/third_party"]
    initials = [path for folder in folders for path in folder.glob("itnet*/__init__.py")]
    others = [ROOT / name for name in ("tools/bump.py", "CITATION.cff", "CHANGELOG.md")]
    for path in [*(folder / "pyproject.toml" for folder in folders), *initials, *others]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    done = bump(tmp_path, "7.8.9")
    assert done.returncode == 0, done.stderr
    assert bump(tmp_path, "--check").stdout == ""
    for folder in folders:
        project = tomllib.loads((tmp_path / folder.relative_to(ROOT) / "pyproject.toml").read_text())["project"]
        assert project["version"] == "7.8.9" or folder == folders[-1]
        ours = [item for item in map(Requirement, project["dependencies"]) if item.name in FOLDERS]
        assert {str(item.specifier) for item in ours} <= {"<7.9,>=7.8"}
    for path in initials:
        versions = re.findall(r"^__version__ = (.+)$", (tmp_path / path.relative_to(ROOT)).read_text(), re.MULTILINE)
        assert versions == ['"7.8.9"'], path
    assert "\nversion: 7.8.9\ndate-released: 2" in (tmp_path / "CITATION.cff").read_text()
    assert re.search(r"^## Unreleased\n\n## 7\.8\.9 \(2", (tmp_path / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_image_plugin_alone_is_enough_for_images(image_only: Path) -> None:
    code = """
import importlib.util, torch
from itnet_registry import create_model, save_model, load_model
assert not any(importlib.util.find_spec(name) for name in ("lightning", "itnet_train", "itnet_text", "sklearn"))
model = create_model("itnet-nano", encoder={"name": "patch", "patch_size": 8}, head={"name": "classify", "classes": 3})
images = torch.randn(2, 3, 32, 32)
save_model(model, "checkpoint")
assert torch.equal(load_model("checkpoint")(images), model(images))
print(tuple(model(images).shape))
"""
    done = run(image_only, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(2, 3)"


def test_the_command_lists_what_is_there_alone(image_only: Path) -> None:
    done = run(image_only, "-m", "itnet_registry", "list", "--json")
    assert done.returncode == 0, done.stderr
    distributions = {entry["distribution"] for entry in json.loads(done.stdout)["components"]}
    assert distributions == {"itnet-core", "itnet-image"}


@pytest.mark.parametrize(
    ("plugin", "others"),
    [
        ("itnet-image", []),
        pytest.param("itnet-text", [], marks=pytest.mark.slow),
        pytest.param("itnet-pointcloud", [], marks=pytest.mark.slow),
        pytest.param("itnet-audio", [], marks=pytest.mark.slow),
        pytest.param("itnet-series", [], marks=pytest.mark.slow),
        pytest.param("itnet-graph", [], marks=pytest.mark.slow),
        pytest.param("itnet-operators", [], marks=pytest.mark.slow),
        ("itnet-vision-language", ["itnet-image", "itnet-text"]),
    ],
)
def test_a_modality_alone_makes_a_model_of_its_preset(
    alone: Callable[[str], Path], plugin: str, others: list[str]
) -> None:
    code = f"""
from itnet_registry import Registry, load_model, save_model
registry = Registry()
ours = {{c.source.distribution for c in registry.components()}}
assert ours == {{"itnet-core", {plugin!r}, *{others!r}}}, ours
assert not registry.faults
for component in registry.components():
    if component.source.distribution == {plugin!r} and not component.spec.requires:
        component.load()
presets = [p for p in registry.presets() if p.source.distribution == {plugin!r} and p.name.endswith("nano")]
assert presets
for preset in presets:
    save_model(registry.create_model(preset.id, heads={{}}), preset.name)
    load_model(preset.name)
"""
    done = run(alone(plugin), "-c", code)
    assert done.returncode == 0, done.stderr


def test_each_readme_has_a_line_that_installs_from_a_clone() -> None:
    """It names the folders of everything of ours that the distribution needs: pip has no index to take them from."""
    for name, folder in FOLDERS.items():
        if name in ("itnet-core", "itnet"):
            continue
        [line] = re.findall(r"^In a clone .*: `pip install (.*)`\.$", (folder / "README.md").read_text(), re.MULTILINE)
        named = {(ROOT / path.partition("[")[0]).resolve() for path in shlex.split(line)}
        declared = [tomllib.loads((path / "pyproject.toml").read_text())["project"] for path in named]
        ours = {item.name for p in declared for item in map(Requirement, p["dependencies"]) if item.name in FOLDERS}
        assert {FOLDERS[item] for item in ours} | {folder} <= named, name


def test_a_missing_plugin_is_named_with_its_hint(image_only: Path) -> None:
    code = "from itnet_registry import create_model; create_model('itnet-nano', encoder='token')"
    done = run(image_only, "-c", code)
    assert done.returncode == 1
    assert "pip install itnet-text" in done.stderr


@pytest.mark.parametrize(
    ("name", "dependency", "wrong"),
    [
        ("itnet-registry", "packaging", ["23.0", "23.1"]),  # without `is_normalized_name`
        ("itnet-train", "lightning", ["2.6.2", "2.6.3"]),  # malicious releases
    ],
)
def test_versions_that_must_not_be_installed_are_excluded(name: str, dependency: str, wrong: list[str]) -> None:
    declared = tomllib.loads((FOLDERS[name] / "pyproject.toml").read_text())["project"]["dependencies"]
    [requirement] = [item for item in map(Requirement, declared) if item.name == dependency]
    assert not [version for version in wrong if requirement.specifier.contains(version)]
