"""Execute notebooks and store their outputs: `python examples/notebooks/execute.py first_steps …`; all by default."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def main() -> None:
    """Execute each notebook in an empty folder; drop what Lightning and progress bars write to stderr."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of !itnet
    for name in sys.argv[1:] or [file.stem for file in sorted(FOLDER.glob("*.ipynb"))]:
        book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        with TemporaryDirectory() as folder:
            NotebookClient(book, timeout=300, resources={"metadata": {"path": folder}}, record_timing=False).execute()
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        nbformat.write(book, FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    main()
