"""Where and when numbers were measured, and the sections of pages that quote them."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch


def provenance(threads: int | None = None) -> str:
    """Return processor, threads of a run (torch's by default), torch's version, date and commit, as words of a line."""
    count = torch.get_num_threads() if threads is None else threads
    return (
        f"{count} thread{'s' * (count > 1)} of {_processor()}, torch {torch.__version__}, "
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}"
    )


def commit() -> str:
    """Return the short name of the repository's commit, or "unknown"."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"


def rewrite_section(page: Path, start: str, end: str, lines: Sequence[str]) -> None:
    """Replace the text between two markers of a page by lines, or append all if the markers are missing."""
    before, _, rest = page.read_text().partition(start)
    page.write_text("\n".join([before + start, *lines, end + rest.partition(end)[2]]))


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
