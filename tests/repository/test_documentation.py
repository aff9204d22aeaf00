"""The Markdown of the repository: its Python blocks and commands run, and its links resolve."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "registry/*.md",
        "tasks/*.md",
        "meta/*.md",
        "plugins/*/*.md",
        "examples/**/*.md",
    )
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).parts[0].startswith((".", "data", "runs"))
)
BLOCK = re.compile(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, _, text in BLOCK.findall(page.read_text()) if kind == language]


WALKTHROUGHS = [page for page in PAGES if blocks(page, "bash")]
"""Pages that run from top to bottom in one folder."""

QUICK = DOCS / "tutorial.md"
"""The walkthrough that `make test` runs; the others start many processes, or train a model."""


class Walkthrough:
    """Carry out a page as a reader would: write its files, and run its commands and its Python, in order.

    The reader's folder is empty. `pip install -e .` installs into a folder of its own; other distributions are
    installed already, and nothing is uploaded.
    """

    PRELUDE = """
        set -euo pipefail
        install() { command pip install --quiet --no-deps --no-build-isolation --upgrade --target "$SITE" .; }
        pip() { [[ "$*" != *-e* ]] || install; }
        python() { command python "$@" $([[ "$*" != "-m build" ]] || echo --no-isolation); }
        twine() { :; }
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.site, self.installed = folder / "reader", folder / "site", False
        self.folder.mkdir()
        self.environment = os.environ | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.site),
            "SITE": str(self.site),
            "OMP_NUM_THREADS": "1",
        }

    def carry_out(self, page: Path) -> dict[str, str]:
        """Return what each block of commands and each program wrote."""
        written = {}
        for language, title, text in BLOCK.findall(page.read_text()):
            if title:
                self.write(title, text)
                if title.endswith(".py") and "/" not in title:
                    written[title] = self.run([BIN / "python", title])
            elif language == "python":
                written[text] = self.run([BIN / "python", "-c", text])
            elif language == "bash":
                written[text] = self.shell(text)
        return written

    def write(self, title: str, text: str) -> None:
        """Write a file; an indented block replaces the end of the file, from the line that it begins with."""
        path, first = self.folder / title, text.partition("\n")[0]
        if first.startswith(" "):
            old = path.read_text()
            assert first in old, f"{title} has no line {first!r}"
            text = old.partition(first)[0] + text
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if self.installed:
            self.shell("pip install -e .")

    def shell(self, text: str) -> str:
        """Run commands, and stay in the folder that they end in."""
        where = self.folder.parent / "where"
        self.folder.mkdir(exist_ok=True)
        written = self.run(["bash", "-c", f'{self.PRELUDE}\n{text}\npwd > "{where}"'])
        self.folder, self.installed = Path(where.read_text().strip()), self.installed or "pip install -e" in text
        return written

    def run(self, command: list[str | Path]) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, id=name(p), marks=() if p == QUICK else pytest.mark.slow) for p in WALKTHROUGHS],
)
def test_walkthroughs_run(page: Path, tmp_path: Path) -> None:
    written = Walkthrough(tmp_path).carry_out(page)
    if page == QUICK:
        assert sum(len(text.splitlines()) for _, _, text in BLOCK.findall(page.read_text())) <= 30
        assert re.search(r"= \d\d passed", written["pytest\n"])  # an item for each check
        assert "itnet-cauchy 0.1.0" in written["itnet info cauchy\n"]
        assert written["use.py"] == "torch.Size([2, 10])\n"
        built = list((tmp_path / "reader/itnet-cauchy/dist").iterdir())
        assert {path.name.partition("-")[0] for path in built} == {"itnet_cauchy"}
        assert {path.suffix for path in built} == {".whl", ".gz"}


PREPARED = get_context("spawn") if sys.platform == "win32" else get_context("forkserver")
"""Starts processes that have imported the libraries already."""
PREPARED.set_forkserver_preload(["torch._dynamo", "itnet_train.engine.module", "itnet_tasks.classification"])

EACH_ALONE = """
import os
os.chdir(folder)
os.dup2(os.open("stdout", os.O_WRONLY | os.O_CREAT), 1)
os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT), 2)
for block in blocks:
    exec(compile(block, block, "exec"), {"__name__": "__main__"})
"""
"""Runs programs one after another, each with variables of its own."""


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") and p not in WALKTHROUGHS], ids=name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    errors = tmp_path / "stderr"
    errors.touch()
    names = {"folder": tmp_path, "blocks": blocks(page, "python")}
    process = PREPARED.Process(target=exec, args=(EACH_ALONE, names))
    process.start()
    process.join()
    assert process.exitcode == 0, errors.read_text()


def test_every_guide_runs_something() -> None:
    guides = {*(DOCS / "guides").glob("*.md"), DOCS / "quickstart.md", DOCS / "tutorial.md", DOCS / "index.md"}
    assert all(blocks(page, "bash") or blocks(page, "python") for page in guides)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    bare = [re.sub(r"\s+#.*", "", line).removeprefix(".venv/bin/") for line in lines]
    return sorted({line for line in bare if line.startswith("itnet ")})


READING = ("list", "info", "doctor", "schema", "validate", "--version")


@pytest.mark.parametrize("command", [c for c in commands() if c.split()[1] in READING])
def test_quick_commands_run(command: str) -> None:
    done = subprocess.run([BIN / "itnet", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", BLOCK.sub("", page.read_text())):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_merges_are_complete() -> None:
    """No page has conflict markers, which Markdown takes for text."""
    marked = [name(page) for page in PAGES if re.search(r"^(<{7} |>{7} |={7}$)", page.read_text(), re.MULTILINE)]
    assert marked == []


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^make ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
def test_the_demo_runs_in_small(tmp_path: Path) -> None:
    """`make demo` for two epochs: train, evaluate and explain the checkpoint in fresh processes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    commands: list[list[str | Path]] = [
        [BIN / "itnet", "train", "examples/digits.yaml", "train.epochs=2", "--output", tmp_path / "run"],
        [BIN / "itnet", "evaluate", tmp_path / "run/best"],
        [BIN / "itnet", "explain", tmp_path / "run/best", "--output", tmp_path / "explained"],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "explained/report.html").is_file()
