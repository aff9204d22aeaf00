"""Trunks of blocks with kernels, norms and points of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import (
    Block,
    CoarserGrid,
    ConfigError,
    EarlierPoints,
    FarthestPoints,
    Field,
    IntegralOperator,
    Latents,
    MLPKernel,
    Nodes,
    QueryPoints,
    Sampler,
    Support,
    Trunk,
    auxiliary_losses,
)


def operator(dim: int = 4, out_dim: int | None = None, **options: Any) -> IntegralOperator:
    kernel = MLPKernel(dim, heads=2, hidden=4, rank=2, frequencies=1, **options)
    return IntegralOperator(dim, kernel, out_dim=out_dim)


def block(dim: int = 4, out_dim: int | None = None, query: QueryPoints | None = None, **options: Any) -> Block:
    return Block(operator(dim, out_dim), ffn_ratio=options.pop("ffn_ratio", 1.0), query=query, **options)


def image(*grid: int, dim: int = 4) -> Field:
    return Field.on_grid(torch.randn(2, *grid, dim), axes="yx").to(torch.float64)


def padded() -> Field:
    weights = torch.rand(2, 12)
    weights[0, 8:] = 0.0
    return Field(torch.randn(2, 12, 4), torch.rand(2, 12, 4), weights).to(torch.float64)


def pyramid(**options: Any) -> Trunk:
    """Return a trunk that halves the grid twice and comes back to the points of the first block's output."""
    return Trunk(
        [
            block(4, **options),
            block(4, 6, CoarserGrid(2), **options),
            block(6, 8, CoarserGrid(2), **options),
            block(8, 6, EarlierPoints(1), query_dim=6, **options),
            block(6, 4, EarlierPoints(0), query_dim=4, **options),
        ]
    ).double()


def test_a_block_is_its_formula() -> None:
    part, field = block().double(), image(3, 3)
    assert part.ffn is not None
    assert part.ffn_norm is not None
    u = field.values + part.operator(field.map(part.norm)).values
    torch.testing.assert_close(part(field).values, u + part.ffn(part.ffn_norm(u)), rtol=1e-9, atol=1e-9)


def test_norms_may_follow() -> None:
    part, field = block(norm_first=False, norm="rms", activation="relu").double(), image(3, 3)
    assert part.ffn is not None
    assert part.ffn_norm is not None
    u = field.values + F.relu(part.norm(part.operator(field).values))
    torch.testing.assert_close(part(field).values, u + part.ffn_norm(part.ffn(u)), rtol=1e-9, atol=1e-9)


def test_without_norms_a_linear_trunk_keeps_the_scale_of_a_function() -> None:
    position = MLPKernel(4, heads=2, inputs=("displacement",))
    trunk = Trunk([Block(IntegralOperator(4, position), ffn_ratio=0, norm="none")]).double()
    field = image(3, 3)
    scaled, zero = trunk(field.map(lambda values: 100 * values)).values, trunk(field.map(torch.zeros_like)).values
    torch.testing.assert_close(scaled - zero, 100 * (trunk(field).values - zero), rtol=1e-9, atol=1e-9)


def test_a_feed_forward_part_may_be_left_out() -> None:
    part, field = block(ffn_ratio=0).double(), image(3, 3)
    assert part.ffn is None
    expected = field.values + part.operator(field.map(part.norm)).values
    torch.testing.assert_close(part(field).values, expected, rtol=1e-9, atol=1e-9)


def test_coarse_queries_over_fine_keys() -> None:
    query = CoarserGrid(2)
    part, field = block(query=query, ffn_ratio=0).double(), image(4, 4)
    coarse = query(field, {})
    integral = part.operator(coarse.map(part.query_norm), field.map(part.norm))
    actual = part(field)
    torch.testing.assert_close(actual.values, coarse.values + integral.values, rtol=1e-9, atol=1e-9)
    assert (actual.grid, actual.points) == ((2, 2), coarse.points)


@pytest.mark.parametrize(
    "options", [{}, {"norm": "batch"}, {"norm": "batch", "norm_first": False, "ffn_ratio": 0}], ids=str
)
def test_a_u_shaped_trunk_gives_a_field_at_its_own_points(options: dict[str, Any]) -> None:
    trunk, field = pyramid(**options), image(8, 8)
    actual = trunk(field)
    assert actual.points is field.points
    assert actual.dim == 4
    actual.values.sum().backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


def test_the_trunks_input_may_be_queried() -> None:
    trunk, field = Trunk([block(query=Latents(3, 4)), block(query=EarlierPoints(-1))]).double(), padded()
    assert trunk(field).points is field.points


QUERIES: dict[str, Callable[[], QueryPoints | None]] = {
    "same": lambda: None,
    "farthest": lambda: FarthestPoints(5),
    "latents": lambda: Latents(5, 4),
    "earlier": lambda: EarlierPoints(-1),
}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("norm", ["layer", "batch", "rms", "none"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_padding_changes_no_output_and_no_running_statistic(query: str, norm: Any, norm_first: bool) -> None:
    def after(field: Field) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(0)
        blocks = [
            block(norm=norm, norm_first=norm_first),
            block(query=QUERIES[query](), norm=norm, norm_first=norm_first),
        ]
        trunk = Trunk([*blocks, block(norm=norm, norm_first=norm_first)]).double()
        out = trunk(field)
        return out.values[out.mask], trunk.state_dict()

    field = padded()
    present = field.mask.unsqueeze(-1)
    junk = field.replace(
        values=torch.where(present, field.values, 1e3 * torch.randn_like(field.values)),
        positions=torch.where(present, field.positions, 7.0),
    )
    (actual, statistics), (expected, others) = after(junk), after(field)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    for name, tensor in statistics.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-9, atol=1e-9)


def test_query_points_of_its_own_do_not_stream() -> None:
    trunk = Trunk([block(), block(query=FarthestPoints(3))])
    with pytest.raises(ConfigError, match=r"^Block\.step: found query points of its own \(FarthestPoints\)"):
        trunk.blocks[1].step(None, image(1, 1))  # type: ignore[operator]


def test_stochastic_depth_drops_branches_in_training() -> None:
    part, field = block(stochastic_depth=1 - 1e-9).double(), image(3, 3)
    assert torch.equal(part(field).values, field.values)
    assert not torch.equal(part.eval()(field).values, field.values)


def test_a_scan_order_is_for_blocks_that_scan() -> None:
    class Scanning(MLPKernel):
        scans = True

    seen: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Field, ...]) -> None:
        seen.append(arguments[0].positions)

    def scanning() -> IntegralOperator:
        return IntegralOperator(4, Scanning(4, heads=2, hidden=4, support=Support(causal="t")))

    trunk = Trunk([block(), Block(scanning()), Block(scanning()), block()], scan="raster").double()
    blocks: list[Any] = list(trunk.blocks)
    for part in blocks:
        part.operator.register_forward_pre_hook(keep)
    field = image(3, 3)
    assert trunk(field).points is field.points
    assert [torch.equal(positions, field.positions) for positions in seen] == [True, False, False, True]
    middle, last = trunk.fields(field, [1])
    assert middle.points is field.points
    torch.testing.assert_close(last.values, trunk(field).values)
    with pytest.raises(ConfigError, match=r"^scan: found query points of its own in blocks\[1\], whose kernel scans"):
        Trunk([block(), Block(scanning(), query=Latents(3, 4))], scan="raster")


class Drawn(Sampler):
    """Random points, with an auxiliary loss."""

    def __init__(self) -> None:
        super().__init__(4)

    def forward(self, query: Field, key: Field) -> Nodes:
        indices = torch.multinomial(key.weights, 4, replacement=True)
        weights = torch.full_like(key.weights[:, :4], 1 / 4)
        return Nodes(indices, weights, loss=lambda problem: problem.values.square().mean())


@pytest.mark.parametrize("sampled", [False, True])
def test_blocks_that_are_computed_again_give_the_same_gradients_and_keep_less(sampled: bool) -> None:
    trunk, field = pyramid(dropout=0.5), image(8, 8)
    if sampled:
        trunk.blocks[0].get_submodule("operator").sampler = Drawn()
    kept, gradients = [], []
    for trunk.recompute in (False, True):
        torch.manual_seed(0)
        tensors: list[Tensor] = []

        def keep(tensor: Tensor, tensors: list[Tensor] = tensors) -> Tensor:
            tensors.append(tensor)
            return tensor

        with auxiliary_losses() as losses, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = trunk(field).values.square().sum() + sum(losses)
        assert len(losses) == sampled
        gradients.append(torch.autograd.grad(out, list(trunk.parameters()), allow_unused=True, materialize_grads=True))
        kept.append(len(tensors))
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
    assert kept[1] < kept[0] / 3
