"""Kernels whose shares are known: the teachers of examples/three_families.py, sums, and converted attention."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from itnet_core import Field, IntegralOperator, Kernel, MLPKernel
from itnet_explain import explain
from itnet_explain.explanation import HeadExplanation

sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))
POSITION, CONTENT = ("constant", "position"), ("constant", "query", "key", "both")


def heads(model: nn.Module, inputs: Any) -> tuple[HeadExplanation, ...]:
    [layer] = explain(model, inputs).layers
    return layer.heads


def share(head: HeadExplanation, parts: tuple[str, ...]) -> float:
    return sum(head.shares[part] for part in parts)


def operator(kernel: Kernel, dim: int) -> IntegralOperator:
    return IntegralOperator(dim, kernel, head_dim=1)


def test_the_teacher_that_is_a_convolution_is_position_alone() -> None:
    from three_families import DIM, FAMILIES  # type: ignore[import-not-found]

    torch.manual_seed(0)
    family = FAMILIES[0]
    field = Field.on_grid(torch.randn(6, *family.grid, DIM), axes=family.axes)
    for head in heads(operator(family.teacher(DIM), DIM), field):
        assert share(head, POSITION) == pytest.approx(1.0, abs=1e-6)
        assert head.equals["convolution"] > 0.99


def test_the_teacher_that_is_attention_is_content_alone() -> None:
    from three_families import DIM, FAMILIES

    torch.manual_seed(0)
    family = FAMILIES[1]
    field = Field.on_grid(torch.randn(12, *family.grid, DIM), axes=family.axes)
    for head in heads(operator(family.teacher(DIM), DIM), field):
        assert share(head, CONTENT) == pytest.approx(1.0, abs=1e-6)
        assert abs(head.shares["position"]) < 1e-6
        assert head.equals["attention"] > 0.95


class Added(Kernel):
    """A kernel of positions plus one of contents."""

    heads = 2
    pointwise_terms = True

    def __init__(self) -> None:
        super().__init__()
        options: dict[str, Any] = {"heads": 2, "position_dim": 1}
        self.position = MLPKernel(4, inputs=("displacement", "distance"), **options)
        self.content = MLPKernel(4, inputs=("query", "key", "product"), **options)

    def project(self, query: Field, key: Field) -> tuple[Any, Any]:
        position, content = self.position.project(query, key), self.content.project(query, key)
        return (position[0], content[0]), (position[1], content[1])

    def tile(self, query_terms: Any, key_terms: Any) -> torch.Tensor:
        return self.position(query_terms[0], key_terms[0]) + self.content(query_terms[1], key_terms[1])


def test_a_sum_of_position_and_content_has_no_interaction() -> None:
    torch.manual_seed(0)
    field = Field(torch.randn(6, 20, 4), torch.rand(6, 20, 1))
    for head in heads(IntegralOperator(4, Added()), field):
        assert abs(head.shares["interaction"]) < 1e-5
        assert min(head.shares["position"], share(head, CONTENT)) > 0


def test_converted_attention_is_content_alone() -> None:
    from itnet_kernels import convert_model

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(layer).eval()
    convert_model(model)
    for head in heads(model, torch.randn(12, 30, 8)):
        assert share(head, CONTENT) == pytest.approx(1.0, abs=1e-6)
        assert head.equals["attention"] > 0.95


def test_a_converted_convolution_is_position_alone() -> None:
    """It runs as the original did, without its operator, unless an explanation asks for it."""
    from itnet_kernels import convert_model

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    convert_model(model)
    layers = explain(model, torch.randn(4, 1, 8, 8)).layers
    assert [layer.path for layer in layers] == ["0.operator", "2.operator"]
    for layer in layers:
        assert len(layer.heads) == 9  # the taps
        assert share(layer.heads[0], POSITION) == pytest.approx(1.0, abs=1e-6)
        for head in layer.heads:
            assert max(abs(head.shares[part]) for part in ("query", "key", "both", "interaction")) < 1e-6
