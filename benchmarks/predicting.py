"""Start-up and speed of predictions: `python benchmarks/predicting.py` writes docs/benchmarks/predicting.md.

An itnet-nano over patches of 4 × 4 predicts files of 8 × 8 pixels: the smallest work for the model, so that what is
around it shows. Each way predicts the same files, in turns, on one thread.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from provenance import provenance
from sklearn.datasets import load_digits

from itnet_registry import create_model, load, save_model

PAGE = Path(__file__).parents[1] / "docs/benchmarks/predicting.md"
ITNET = (sys.executable, "-m", "itnet_registry")
FILES, BATCH, ROUNDS, STARTS = 1000, 32, 7, 5

STARTER = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts a process from a small one: Linux counts the memory of the process that starts another as the other's."""


def start(*command: str) -> tuple[float, float]:
    """Run a process; return its CPU time in seconds and its peak memory in MB."""
    done = subprocess.run([sys.executable, "-c", STARTER, *command], check=True, capture_output=True, text=True)
    seconds, memory = map(float, done.stderr.split())
    return seconds, memory / 1024


def ways(checkpoint: str, files: list[Path]) -> dict[str, Callable[[], object]]:
    """Return the ways to predict all files."""
    predictor = load(checkpoint, device="cpu")
    model, task = predictor.model, predictor.task

    @torch.inference_mode()
    def loop(size: int) -> None:
        for first in range(0, len(files), size):
            batch = task.collate([task.read(file) for file in files[first : first + size]])
            task.describe(model(batch.inputs))

    return {
        "a plain loop over the model, one file at a time": lambda: loop(1),
        f"a plain loop over the model, batches of {BATCH}": lambda: loop(BATCH),
        f"`Predictor.predict`, batches of {BATCH}": lambda: list(predictor.predict(files, batch_size=BATCH)),
    }


def seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of a call in seconds, which other processes of the machine hardly change."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Measure, and write the page."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        checkpoint = str(Path(folder, "digits"))
        encoder = {"name": "patch", "patch_size": 4}
        save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), checkpoint)
        files = [Path(folder, f"{number}.png") for number in range(FILES)]
        for file, pixels in zip(files, load_digits().images, strict=False):
            Image.fromarray((pixels * 15.9).astype("uint8")).save(file)
        commands = {
            '`python -c "import torch"`': (sys.executable, "-c", "import torch"),
            "`itnet predict digits 0.png`": (
                sys.executable,
                "-m",
                "itnet_registry",
                "predict",
                checkpoint,
                str(files[0]),
            ),
        }
        started = {name: [start(*command) for _ in range(STARTS)] for name, command in commands.items()}
        runs = ways(checkpoint, files)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name].append(seconds(run))
    lines = [
        "# Predictions",
        "",
        f"`python benchmarks/predicting.py` on {provenance()}.",
        "",
        f"Start-up, the median of {STARTS} processes. PyTorch is the build for CUDA.",
        "",
        "| process | CPU, s | peak memory, MB |",
        "|---|---|---|",
        *(
            f"| {name} | {median(s for s, _ in all_):.2f} | {median(m for _, m in all_):.0f} |"
            for name, all_ in started.items()
        ),
        "",
        f"{FILES} image files, the median of {ROUNDS} rounds.",
        "",
        "| way | files a second of CPU time |",
        "|---|---|",
        *(f"| {name} | {FILES / median(found):.0f} |" for name, found in times.items()),
    ]
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
