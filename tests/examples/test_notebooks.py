"""The notebooks run from top to bottom in an empty folder, and their stored outputs are small."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples/notebooks"
FIRST = "first_steps"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CASES = [pytest.param(file, id=file.stem, marks=[pytest.mark.slow] * (file.stem != FIRST)) for file in NOTEBOOKS]
MOST_BYTES = 100_000


@pytest.mark.parametrize("file", CASES)
def test_a_notebook_runs_in_an_empty_folder(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # of !itnet
    book = nbformat.read(file, as_version=4)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell.get("execution_count") for cell in book.cells if cell.cell_type == "code")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_stored_outputs_are_complete_small_and_name_no_machine(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"])
    assert "/tmp" not in file.read_text(encoding="utf-8")
    assert file.stat().st_size < MOST_BYTES


def test_the_page_of_the_notebooks_lists_them_all() -> None:
    page = (FOLDER.parents[1] / "docs/notebooks.md").read_text(encoding="utf-8")
    assert [file.stem for file in NOTEBOOKS if f"notebooks/{file.name})" not in page] == []
