"""Models with parts of their kernels alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import MLPKernel
from itnet_explain import VARIANTS, ablate, record
from itnet_explain.ablation import PartialKernel, obstacle
from itnet_registry import create_model

CONTENTS, PLACES = ("query", "key", "product"), ("displacement", "distance")


def model(**kernel: Any) -> Any:
    kernel = {"name": "mlp", "heads": 2, "hidden": 8, **kernel}
    return create_model(
        "itnet-nano", depth=2, kernel=kernel, encoder={"name": "patch", "patch_size": 2}, task="digits"
    ).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def outputs(network: Any, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The model's prediction with each variant."""
    found: list[torch.Tensor] = []

    def score() -> dict[str, float]:
        found.append(network(images))
        return {}

    calls = record(network, lambda: network.features(images))
    ablate(network, calls, score)
    return dict(zip(VARIANTS, found, strict=True))


@pytest.mark.parametrize(
    ("inputs", "part", "other"), [(PLACES, "position", "content"), (CONTENTS, "content", "position")]
)
def test_a_kernel_of_one_part_is_kept_by_it_and_lost_without(
    inputs: tuple[str, ...], part: str, other: str, images: torch.Tensor
) -> None:
    found = outputs(model(inputs=inputs), images)
    for variant in (f"{part} alone", f"without {other}", "without interaction"):
        torch.testing.assert_close(found[variant], found["everything"], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found[f"{other} alone"], found["everything"], atol=1e-3)


def test_all_parts_sum_to_the_kernel(images: torch.Tensor) -> None:
    network = model()
    call = record(network, lambda: network.features(images))[0]
    k = {
        parts: PartialKernel(call, frozenset(parts), torch.Generator().manual_seed(0))
        for parts in ((), ("position",), ("content",), ("interaction",))
    }
    constant, *others = (kernel(*kernel.project(call.query, call.key)) for kernel in k.values())
    exact = call.kernel(*call.kernel.project(call.query, call.key))
    # The interaction alone holds what the other parts leave, the constant included.
    position, content, interaction = others
    torch.testing.assert_close(interaction + position + content - 2 * constant, exact, atol=1e-5, rtol=1e-4)


def test_the_model_is_as_before_afterwards(images: torch.Tensor) -> None:
    network = model()
    before = network(images)
    outputs(network, images)
    assert torch.equal(network(images), before)
    assert isinstance(network.trunk.blocks[0].operator.kernel, MLPKernel)


def test_what_cannot_be_taken_apart_is_named(images: torch.Tensor) -> None:
    both = [{"name": "attention", "heads": 2}, {"name": "mlp", "heads": 2}]
    encoder = {"name": "patch", "patch_size": 2}
    network = create_model(
        "itnet-nano", depth=1, kernel={"name": "sum", "kernels": both}, encoder=encoder, task="digits"
    )
    assert (
        obstacle(record(network, lambda: network.features(images))) == "trunk.blocks.0.operator[0]: a sum of integrals"
    )
