"""Fields whose points are dealt to several processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from itnet_core import FieldError, union
from itnet_testing.fields import scattered, with_edges
from itnet_testing.processes import run_processes

SCRIPT = Path(__file__).with_name("sharing_processes.py")


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_that_share_points_compute_what_one_process_does(processes: int, tmp_path: Path) -> None:
    """Values and gradients of every kernel, and of trunks with coarser grids, latents, batch norms and scans."""
    run_processes(SCRIPT, processes, tmp_path)
    for rank in range(processes):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found.pop("largest tile of the ring") == (-(-13 // processes)) ** 2
        assert len(found) > 30
        assert {name: error for name, error in found.items() if not error < 1e-12} == {}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Any]:
    """A group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


def test_a_part_knows_the_whole_field_and_its_measures(alone: Any) -> None:
    field = scattered(2, 5, 3)
    part = field.shard(alone)
    assert part.gather().points is field.points
    assert torch.equal(part.gather().values, field.values)
    assert torch.equal(part.with_measure("mean").weights, field.with_measure("mean").weights)
    assert field.gather() is field
    assert field.shard(alone).points is part.points  # computed once


def test_what_needs_the_whole_field_refuses_a_part(alone: Any) -> None:
    part = scattered(2, 5, 3).shard(alone)
    calls: list[Callable[[], Any]] = [
        lambda: part.to(torch.float64),
        lambda: part.replace(values=part.values),
        lambda: part.with_edges(None),
        lambda: union([part, part]),
    ]
    for call in calls:
        with pytest.raises(FieldError, match="found the points of one process of several; expected a whole field"):
            call()
    assert with_edges(scattered(2, 5, 3)).shard(alone).points.edges is None
