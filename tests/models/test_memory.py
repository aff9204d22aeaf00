"""Memory promises: forward and backward passes in O(N) memory allocate no tensor over all pairs of points.

A process of its own measures the peak of its resident memory, which counts the allocations of PyTorch and of compiled
libraries alike.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

from itnet_core import Field, IntegralOperator
from itnet_registry import create

POINTS, HEADS, DIM = 4096, 4, 8
PAIRS = POINTS**2 * HEADS * 4
"""Bytes of k over all pairs of points in float32: 256 MiB."""
LIMIT = PAIRS // 10

SIZES = {"heads": HEADS, "hidden": 4, "rank": 4, "frequencies": 2}
MLP = {"name": "mlp", **SIZES}
ADDITIVE = {**MLP, "inputs": ["query", "key", "displacement"]}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tiled": (MLP, {"name": "tiled", "query_tile": 128, "key_tile": 128}),
    "native": (MLP, {"name": "native"}),
    "sorted": ({**ADDITIVE, "activation": "relu"}, {"name": "sorted"}),
    "chebyshev": ({**ADDITIVE, "activation": "tanh"}, {"name": "chebyshev"}),
    "low-rank": ({"name": "low-rank", "heads": HEADS, "rank": 4, "hidden": 8}, {"name": "auto"}),
    "skeleton": ({"name": "skeleton", "pivots": 16, "mlp": SIZES}, {"name": "auto"}),
    "attention": ({"name": "attention", "heads": HEADS}, {"name": "auto"}),
    "attention of full values": ({"name": "attention", "heads": HEADS, "values": "full"}, {"name": "auto"}),
    "linear attention": ({"name": "linear-attention", "heads": HEADS}, {"name": "auto"}),
}
"""Kernel and evaluator by the name of the case."""
CONTROL = ({**MLP, "inputs": ["displacement"]}, {"name": "dense"})
"""An operator that does hold a pair tensor, measured last."""


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def growth(kernel: dict[str, Any], evaluator: dict[str, Any]) -> int:
    """Return by how many bytes a forward and a backward pass raise the peak of resident memory."""
    torch.manual_seed(0)
    chosen = create("evaluator", **evaluator)
    operator = IntegralOperator(DIM, create("kernel", dim=DIM, **kernel), evaluator=chosen)

    def run(points: int) -> None:
        values = torch.randn(1, points, DIM, requires_grad=True)
        field = Field.on_grid(values, axes="t")
        torch.autograd.grad(operator(field).values.square().sum(), [values, *operator.parameters()], allow_unused=True)

    run(256)  # what is allocated once, such as a compiled library, does not count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ballast = bytearray(max(0, peak - resident()))  # so that what is allocated next raises the peak
    run(POINTS)
    del ballast
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - peak


@cache
def measured() -> dict[str, int]:
    """Return the growth of each case, measured in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, int] = json.loads(done.stdout)
    return result


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")


@pytest.mark.parametrize("name", CASES)
def test_no_pair_tensor_is_allocated(name: str) -> None:
    assert measured()[name] < LIMIT


def test_a_pair_tensor_would_be_noticed() -> None:
    assert measured()["dense"] > PAIRS


def main() -> Iterator[tuple[str, int]]:
    """Yield the name and the growth of each case."""
    for name, case in CASES.items():
        yield name, growth(*case)
    yield "dense", growth(*CONTROL)


if __name__ == "__main__":
    print(json.dumps(dict(main())))
