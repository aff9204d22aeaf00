"""The documentation site: its reference matches the code, it is complete, and it builds without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from itnet_registry import Registry
from itnet_registry.plugins.loading import HOOKS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def load(path: Path) -> ModuleType:
    """Import a script of docs/."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """Import the script that writes the reference."""
    return load(DOCS / "reference.py")


@pytest.fixture(scope="module")
def pages(reference: ModuleType) -> dict[str, str]:
    """Return the pages of the reference as the code makes them."""
    made: dict[str, str] = reference.pages()
    return made


def test_the_pages_made_from_the_code_are_up_to_date(pages: dict[str, str]) -> None:
    for page, text in pages.items():
        assert (DOCS / "reference" / page).read_text() == text, f"{page}: run python docs/reference.py"
    made = {path for path in (DOCS / "reference").rglob("*.md") if path.read_text().startswith("<!-- Made by")}
    assert {str(path.relative_to(DOCS / "reference")) for path in made} == set(pages)


def test_every_exception_is_in_the_catalogue(reference: ModuleType) -> None:
    folders = [ROOT / "itnet_core", ROOT / "registry/itnet_registry", ROOT / "tasks/itnet_tasks"]
    texts = [
        path.read_text() for folder in [*folders, *ROOT.glob("plugins/*/itnet_*")] for path in folder.rglob("*.py")
    ]
    declared = {name for text in texts for name in re.findall(r"^class ([A-Z]\w+Error)\(", text, re.MULTILINE)}
    assert {cls.__name__ for cls in reference.EXAMPLES} == declared - {"ITNetError"}
    assert {"ConfigError", "PluginError", "RunError"} <= declared


def test_everything_public_is_documented() -> None:
    text = "".join(page.read_text() for page in (DOCS / "reference").rglob("*.md"))
    documented = {target.rpartition(".")[2] for target in re.findall(r"^::: (\S+)", text, re.MULTILINE)}
    documented |= set(re.findall(r"^## (\w+Error)$", text, re.MULTILINE))
    packages = ("itnet_core", "itnet_registry", "itnet_testing", *(p.name for p in ROOT.glob("plugins/*/itnet_*")))
    public = {name for package in packages for name in getattr(import_module(package), "__all__", ())}
    assert public - documented == {"API", "hookimpl", "ITNetError"}  # in prose


def test_every_component_is_documented() -> None:
    text = "".join(page.read_text() for page in (DOCS / "reference").rglob("*.md"))
    options = (DOCS / "reference/configuration.md").read_text()
    for component in Registry().components():
        if component.source.distribution.startswith("itnet-"):
            assert f"[`{component.id}`]" in text
            assert f"### {component.id}\n" in options


def test_the_figure_of_the_operator_is_up_to_date() -> None:
    drawing = load(DOCS / "figures/draw_operator.py").drawing()
    assert (DOCS / "images/operator.svg").read_text() == drawing, "run python docs/figures/draw_operator.py"


@pytest.mark.parametrize(
    ("uri", "text", "expected"),
    [
        ("guides/images.md", "[a](../../plugins/image/README.md)", "[a](../distributions/itnet-image.md)"),
        ("distributions/itnet-native.md", "[a](../../docs/design.md#x)", "[a](../design.md#x)"),
        ("distributions/itnet-core.md", "![a](docs/images/b.svg)", "![a](../images/b.svg)"),
        ("design.md", "[a](../examples/digits.yaml)", "[a](https://forge/blob/main/examples/digits.yaml)"),
        ("contributing.md", "[a](https://forge/blob/main/docs/how.md)", "[a](how.md)"),
        ("index.md", "[a](#b) [c](https://elsewhere/d)", "[a](#b) [c](https://elsewhere/d)"),
        ("index.md", "```\n[a](b.md)\n```", "```\n[a](b.md)\n```"),
        ("index.md", "[`a`](how.md) `b_{0}` h_{t} c_{t}", "[`a`](how.md) `b_{0}` h\\_{t} c\\_{t}"),
    ],
)
def test_links_lead_to_pages_of_the_site(uri: str, text: str, expected: str) -> None:
    assert load(DOCS / "hooks.py").rewritten(text, uri, "https://forge") == expected


def test_every_readme_is_on_the_site() -> None:
    readmes = {str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/README.md")}
    hooks = load(DOCS / "hooks.py")
    assert readmes | {"README.md", "registry/README.md", "tasks/README.md", "meta/README.md"} <= set(hooks.PAGES)
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert all(f": {page}\n" in navigation for page in hooks.SOURCES)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    options = ["--strict", "--site-dir", str(tmp_path), "--config-file", str(ROOT / "mkdocs.yml")]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", *options],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    hooks = (tmp_path / "reference/hooks/index.html").read_text()
    assert all(f'id="itnet_core.plugin.hookspecs.{hook}"' in hooks for hook in HOOKS)
