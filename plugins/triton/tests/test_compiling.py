"""The kernels compile for GPUs: the interpreter knows neither Triton's types nor its loops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("kernel", ["sums", "query_gradients", "key_gradients"])
def test_kernels_compile_for_tensor_cores_without_atomics(kernel: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(Path(__file__).with_name("compile_kernel.py")), kernel]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "compiled", done.stderr
