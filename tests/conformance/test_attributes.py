"""A kernel reads what an encoder adds to its points, in a model from the registry."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, Edges, Field, FieldError, IntegralOperator, TiledEvaluator, union
from itnet_registry import create, create_model
from itnet_registry.api import _registry
from itnet_testing import EncoderConformance, KernelConformance
from itnet_testing.fields import scattered

PLUGIN = Path(__file__).parent / "containers"
KERNEL: dict[str, Any] = {"name": "itnet-containers/segments"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    _registry.cache_clear()
    yield
    _registry.cache_clear()


def model(**parts: Any) -> Any:
    encoder = "itnet-containers/packed"
    return create_model(**{"width": 8, "depth": 2, "encoder": encoder, "kernel": KERNEL, "heads": {}, **parts}).eval()


@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_a_sequence_does_not_see_another_in_its_row(normalization: str) -> None:
    packed = model(kernel={**KERNEL, "normalization": normalization})
    values, numbers = packed.encoders["sequence"].example()
    changed = values.clone()
    changed[:, 0] += 1  # of the first sequence
    moved = packed.features((changed, numbers)).values != packed.features((values, numbers)).values
    assert torch.equal(moved.any(-1), numbers == 0)


@pytest.mark.parametrize(("kind", "name"), [(KernelConformance, "segments"), (EncoderConformance, "packed")])
def test_the_components_pass_the_kit(kind: Any, name: str) -> None:
    case = type("Case", (kind,), {"component": f"itnet-containers/{name}"})()
    assert [outcome for outcome in case.run() if not outcome.ok] == []


def test_an_encoder_without_the_attribute_is_refused() -> None:
    expected = r"encoders.image: found PatchEncoder, whose points have no attributes; expected an encoder that declares"
    with pytest.raises(ConfigError, match=f"{expected} 'segment', which SegmentKernel reads"):
        model(encoder="patch")
    with pytest.raises(ConfigError, match="declares 'segment'"):
        model(encoder="patch", kernel={"name": "itnet-kernels/sum", "kernels": [KERNEL, "itnet-kernels/gaussian"]})
    with pytest.raises(ConfigError, match="declares 'edges', which GINKernel reads"):
        model(kernel="gin")
    model(encoder={"name": "itnet-core/field", "channels": 3})  # whose fields may have any


@pytest.mark.parametrize("opaque", [False, True])
def test_a_compiled_operator_reads_attributes(opaque: bool) -> None:
    kernel = create("kernel", KERNEL["name"], dim=8, opaque=opaque)
    operator = IntegralOperator(8, kernel, evaluator=TiledEvaluator())
    field = scattered().with_attributes(segment=torch.randint(2, (2, 11)))
    other = field.with_attributes(segment=1 - field.points.attribute("segment"))
    compiled = torch.compile(operator, backend="eager")
    for each in (field, other, field):
        torch.testing.assert_close(compiled(each).values, operator(each).values)
    ours, expected = (
        torch.autograd.grad(f(field).values.square().sum(), [*operator.parameters()]) for f in (compiled, operator)
    )
    torch.testing.assert_close(ours, expected)


def test_attributes_stay_with_the_points() -> None:
    edges = Edges(torch.zeros(2, 11, 1, dtype=torch.int64), torch.ones(2, 11, 1))
    field = scattered().with_attributes(normal=torch.randn(2, 11, 3), segment=torch.zeros(2, 11, dtype=torch.int64))
    field = field.with_edges(edges)
    double = field.to(torch.float64)
    assert double.points.attribute("normal").dtype == torch.float64
    assert double.points.attribute("segment").dtype == torch.int64
    copies = (
        field.map(torch.relu),
        field.with_measure("counting"),
        field.replace(weights=2 * field.weights),
        pickle.loads(pickle.dumps(field.points)),
    )
    for copy in copies:
        points = copy.points if isinstance(copy, Field) else copy
        assert points.edges is not None
        assert points.attributes.keys() == {"normal", "segment"}


def test_other_points_and_other_shapes_are_refused() -> None:
    field = scattered().with_attributes(normal=torch.randn(2, 11, 3))
    with pytest.raises(FieldError, match=r"attribute\('normal'\): found points without attributes; expected"):
        union([field, field]).points.attribute("normal")
    with pytest.raises(FieldError, match="found points with normal; expected points with 'segment'"):
        field.points.attribute("segment")
    with pytest.raises(FieldError, match=r"Field.attributes.normal: found shape \(2, 3\); expected shape \(2, 11, …\)"):
        field.with_attributes(normal=torch.zeros(2, 3))
