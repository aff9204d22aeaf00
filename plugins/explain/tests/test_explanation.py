"""Explanations of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from itnet_core import Field, IntegralOperator, MLPKernel, pair_matrix
from itnet_explain import Explanation, explain, record
from itnet_explain.report import write_report
from itnet_registry import create_model

DIGITS = {"encoder": {"name": "patch", "patch_size": 2}, "task": "digits"}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_every_kernel_of_a_sum_is_explained(images: torch.Tensor) -> None:
    kernels = [{"name": "attention", "heads": 2}, {"name": "mlp", "heads": 2, "hidden": 8}]
    model = create_model("itnet-nano", depth=2, kernel={"name": "sum", "kernels": kernels}, **DIGITS)
    layers = explain(model, images).layers
    assert [layer.path for layer in layers] == [f"trunk.blocks.{b}.operator[{k}]" for b in (0, 1) for k in (0, 1)]
    assert [layer.kernel for layer in layers] == ["AttentionKernel", "MLPKernel"] * 2
    assert [len(layer.heads) for layer in layers] == [2] * 4


def test_shares_sum_to_one_and_an_attention_reads_content_alone(images: torch.Tensor) -> None:
    model = create_model("itnet-nano", depth=1, kernel="attention", **DIGITS)
    for head in explain(model, images).layers[0].heads:
        assert sum(head.shares.values()) == pytest.approx(1.0)
        assert abs(head.shares["position"]) < 1e-5
        assert head.equals["attention"] > 0.9


def test_maps_are_what_multiplies_the_values(images: torch.Tensor) -> None:
    model = create_model("itnet-nano", depth=1, **DIGITS)
    [call] = record(model, lambda: model.features(images))
    [layer] = explain(model, images, queries=5).layers
    operator: Any = model.get_submodule(call.path)
    expected = operator.matrix(call.query, queries=layer.maps[1].queries)[1]
    assert torch.allclose(layer.maps[1].weights, expected, atol=1e-6)


def test_recorded_calls_compute_the_operators_output(images: torch.Tensor) -> None:
    model = create_model("itnet-nano", depth=1, **DIGITS)
    [call] = record(model, lambda: model.features(images))
    operator: Any = model.get_submodule("trunk.blocks.0.operator")
    problem = call.problem(2)
    matrix = pair_matrix(problem)[0] * problem.key.weights[0]
    values = operator.value(call.key.values)[2].transpose(0, 1)
    integral = operator.output((matrix @ values).transpose(0, 1).unsqueeze(0))
    expected = operator(call.query).values[2:3]
    assert torch.allclose(integral + operator.pointwise(call.query.values[2:3]), expected, atol=1e-5)


def test_a_kernel_whose_terms_depend_on_all_points_has_no_shares() -> None:
    operator = IntegralOperator(8, _kernel("gru"))
    text = Field.on_grid(torch.randn(4, 9, 8), axes="t", measure="counting")
    [layer] = explain(operator, text).layers
    assert "cannot be drawn apart" in layer.note
    assert all(not head.shares and head.equals for head in layer.heads)


def test_a_kernel_over_edges_is_explained() -> None:
    model = create_model("graph-nano", depth=1, kernel="gin", heads={})
    graphs = model.encoders["graph"].example()  # type: ignore[operator]
    [layer] = explain(model, graphs).layers
    sources, weights = model.encoders["graph"](graphs).points.edges
    linked = torch.zeros(layer.points).scatter_add(1, sources[0], weights[0])
    read = layer.maps[0].weights[0]
    assert torch.equal(read != 0, (linked != 0)[layer.maps[0].queries])


def test_a_module_with_masks_is_explained() -> None:
    from itnet_kernels import convert_model

    model = nn.ModuleDict({"a": nn.MultiheadAttention(8, 2, batch_first=True)})

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = model

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.parts["a"](x, x, x, attn_mask=mask)[0]
            return out

    whole = Model()
    convert_model(whole)
    mask = torch.ones(6, 6, dtype=torch.bool).triu(1)
    [layer] = explain(whole, (torch.randn(3, 6, 8), mask)).layers
    assert layer.note == "shares without additive"
    assert bool((layer.maps[0].weights.triu(1) == 0).all())


def test_the_report_holds_everything_and_nothing_ends_its_script(images: torch.Tensor, tmp_path: Path) -> None:
    model = create_model("itnet-nano", depth=1, **DIGITS)
    explanation = explain(model, images)
    write_report(explanation, tmp_path / "out", title="</script><b>x", images={0: "data:,"})
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("</script>") == 2
    content = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert content["title"] == "</script><b>x"
    [layer] = content["layers"]
    assert len(layer["maps"]) == 2
    assert layer["heads"] == json.loads((tmp_path / "out/explanation.json").read_text())["layers"][0]["heads"]
    assert "http" not in page.split('id="data">')[0].replace("http-equiv", "")  # no network
    assert {"shares.png", "shares.svg"} <= {file.name for file in (tmp_path / "out").iterdir()}


def test_explaining_twice_gives_the_same(images: torch.Tensor) -> None:
    model = create_model("itnet-nano", depth=1, **DIGITS)
    first, second = (explain(model, images, seed=3).to_json() for _ in range(2))
    assert first == second
    assert isinstance(explain(model, images), Explanation)


def _kernel(name: str) -> Any:
    from itnet_registry import create

    return create("kernel", name, dim=8)


def test_over_time_other_axes_point_up_in_maps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    field = Field.on_grid(torch.randn(2, 6, 3, 4), axes="tx")
    found = explain(IntegralOperator(4, MLPKernel(4)), field)
    write_report(found, tmp_path)
    page = (tmp_path / "report.html").read_text()
    times, heights = zip(*json.loads(page.split('"points":')[2].split(',"places"')[0]), strict=True)
    assert [*times] == sorted(times)
    assert [*heights[:3]] == sorted(heights[:3], reverse=True)
