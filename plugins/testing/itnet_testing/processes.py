"""Scripts that run as several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_processes(script: Path, processes: int, *arguments: object, seconds: float = 240) -> None:
    """Run `python SCRIPT RANK PROCESSES ARGUMENTS…` for each rank at the same time, on one thread each.

    Raises:
        RuntimeError: a process failed; the message is what it wrote to stderr.
        TimeoutExpired: one did not end in time, since another failed, or they wait for each other.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, str(script), *map(str, (rank, processes, *arguments))] for rank in range(processes)]
    running = [subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True) for line in commands]
    try:
        for process in running:
            _, errors = process.communicate(timeout=seconds)
            if process.returncode:
                raise RuntimeError(errors)
    finally:
        for process in running:
            process.kill()
