"""Shares and weights by pair of modalities."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import Field, IntegralOperator, Kernel, union
from itnet_explain import explain
from itnet_registry import create_model


class Split(Kernel):
    """Reads the past axis where both points lie on the line x > 0, and contents elsewhere."""

    heads = 1
    pointwise_terms = True

    def project(self, query: Field, key: Field) -> tuple[Any, Any]:
        return (query.values, query.positions), (key.values, key.positions)

    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        (u, x), (v, y) = query_terms, key_terms
        lag = x[..., :1] - y[..., :1].mT
        both = (x[..., 1:] > 0) & (y[..., 1:] > 0).mT
        return torch.where(both, lag, u[..., :1] * v[..., :1].mT).unsqueeze(1)


def test_each_pair_of_parts_has_shares_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    place = [
        torch.stack([torch.rand(6, n, generator=generator), torch.full((6, n), side)], -1)
        for n, side in ((9, -1.0), (5, 1.0))
    ]
    first, second = (Field(torch.randn(6, p.shape[1], 4, generator=generator), p) for p in place)
    [layer] = explain(IntegralOperator(4, Split()), union([first, second])).layers
    between = layer.heads[0].between
    assert list(between) == [f"part {i} reads part {j}" for i in (0, 1) for j in (0, 1)]
    assert sum(pair.weight for pair in between.values()) == pytest.approx(1.0)
    for name, pair in between.items():
        position = pair.shares["position"] + pair.shares["constant"]
        assert position > 0.99 if name == "part 1 reads part 1" else position < 0.1


def test_a_joint_encoder_names_the_parts() -> None:
    from itnet_vision_language.inputs import ImageText

    encoder = {"name": "image-text", "image": {"name": "patch", "patch_size": 4}, "text": "token"}
    model = create_model("itnet-nano", depth=1, encoder=encoder, heads={})
    inputs = ImageText(torch.rand(4, 3, 8, 8), ["a red chair", "a", "what is it", "no"])
    explanation = explain(model, inputs)
    names = set(explanation.layers[0].heads[0].between)
    assert names == {f"{x} reads {y}" for x in ("image", "text") for y in ("image", "text")}
    [layer] = explanation.to_json()["layers"]
    assert set(layer["heads"][0]["between"]["text reads image"]) == {"weight", "shares", "intervals"}


def test_one_field_has_no_pairs_of_parts() -> None:
    model = create_model("itnet-nano", depth=1, encoder={"name": "patch", "patch_size": 4}, task="digits")
    assert explain(model, torch.rand(2, 1, 8, 8)).layers[0].heads[0].between == {}
