"""The documentation site: its reference is what the code says, its tutorial runs, and it builds without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import itnet_core
import itnet_registry
import itnet_testing
from itnet_registry.plugins.loading import HOOKS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script that writes the reference."""
    spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["kinds.md", "conformance.md", "commands.md", "errors.md"])
def test_the_pages_made_from_the_code_are_up_to_date(reference: ModuleType, page: str) -> None:
    assert (DOCS / "reference" / page).read_text() == reference.pages()[page], "run python docs/reference.py"


def test_every_exception_is_in_the_catalogue(reference: ModuleType) -> None:
    folders = [ROOT / "itnet_core", ROOT / "registry/itnet_registry", ROOT / "tasks/itnet_tasks"]
    texts = [
        path.read_text() for folder in [*folders, *ROOT.glob("plugins/*/itnet_*")] for path in folder.rglob("*.py")
    ]
    declared = {name for text in texts for name in re.findall(r"^class (\w+Error)\(", text, re.MULTILINE)}
    assert {cls.__name__ for cls in reference.EXAMPLES} == declared - {"ITNetError"}
    assert {"ConfigError", "PluginError", "RunError"} <= declared


def test_everything_public_is_documented() -> None:
    text = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = {target.rpartition(".")[2] for target in re.findall(r"^::: (\S+)", text, re.MULTILINE)}
    documented |= set(re.findall(r"^## (\w+Error)$", text, re.MULTILINE))
    public = {*itnet_core.__all__, *itnet_registry.__all__, *itnet_testing.__all__}
    assert public - documented == {"API", "hookimpl", "ITNetError"}  # told in prose


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    options = ["--strict", "--site-dir", tmp_path, "--config-file", ROOT / "mkdocs.yml"]
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


def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Line by line, but that it is installed beside this environment, which has the rest, and not uploaded."""
    blocks = re.findall(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```', (DOCS / "tutorial.md").read_text(), re.M | re.S)
    assert sum(len(text.splitlines()) for _, _, text in blocks) <= 30
    site, folder = tmp_path / "site", tmp_path
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(site)}

    def run(command: str) -> str:
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install() -> None:
        run(f"python -m pip install --quiet --no-deps --no-build-isolation --upgrade --target {site} .")

    told = {}
    for language, title, text in blocks:
        if title == "use.py":
            (tmp_path / title).write_text(text)
            told[title] = run(f"python {tmp_path / title}")
        elif language == "python":
            written = folder / title
            written.write_text(written.read_text().partition("    def tile")[0] + text)
            install()
        else:
            for command in text.splitlines():
                if command.startswith("cd "):
                    folder /= command.removeprefix("cd ")
                elif command.startswith("pip install -e"):
                    install()
                elif command == "python -m build":
                    run("python -m build --no-isolation")
                elif not command.startswith(("pip install", "twine upload")):
                    told[command] = run(command)
    assert "1 passed" in told["pytest"]
    assert "itnet-cauchy 0.1.0" in told["itnet info cauchy"]
    assert told["use.py"] == "torch.Size([2, 10])\n"
    assert {path.name.partition("-")[0] for path in (folder / "dist").iterdir()} == {"itnet_cauchy"}
    assert {path.suffix for path in (folder / "dist").iterdir()} == {".whl", ".gz"}
