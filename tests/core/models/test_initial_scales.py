from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import Block, Field, IntegralOperator, ITNetModel, MLPKernel, Trunk, initialize_scales
from itnet_core.models.encoder import FieldEncoder
from itnet_core.models.initial_scales import spacing
from itnet_registry import create


def grid(side: int, axes: int = 2, *, measure: Any = "mean", seed: int = 0) -> Field:
    generator = torch.Generator().manual_seed(seed)
    return Field.on_grid(torch.randn(3, *[side] * axes, 8, generator=generator), axes="txyz"[-axes:], measure=measure)


def factors(new: IntegralOperator, old: IntegralOperator) -> Tensor:
    """Return the factor of each head's columns of the output map, (heads,)."""
    one, two = (operator.output[1].weight.view(8, new.kernel.heads, -1) for operator in (new, old))  # type: ignore[index]
    ratio: Tensor = one / two
    torch.testing.assert_close(ratio, ratio[:1, :, :1].expand_as(ratio))
    return ratio[0, :, 0]


def assert_unit_variance(operator: IntegralOperator, field: Field) -> None:
    """Initialise the scales, and compare the variance of what the output map gets to 1."""
    before = copy.deepcopy(operator)
    initialize_scales(operator, (field,))
    integral = operator.evaluator(*operator.problems(field)).flatten(0, 1)
    variance = (integral * factors(operator, before).unsqueeze(1)).var(0).mean(-1)
    torch.testing.assert_close(variance, torch.ones(4))


@pytest.mark.parametrize(
    "options", [{}, {"values": "full"}, {"values": "full", "hidden": 4}, {"support": {"radius": 0.6}}]
)
@pytest.mark.parametrize(("side", "axes", "measure"), [(4, 1, "mean"), (9, 2, "counting"), (5, 3, "mean")])
def test_the_output_map_receives_unit_variance(options: dict[str, Any], side: int, axes: int, measure: str) -> None:
    torch.manual_seed(0)
    operator, field = IntegralOperator(8, MLPKernel(8, **options)), grid(side, axes, measure=measure)
    assert_unit_variance(operator, field)


def test_lengths_follow_the_spacing() -> None:
    """Enlarging the domain changes no kernel of displacement and distance."""
    near = grid(5)
    far = Field(near.values, 10 * near.positions, near.weights)
    kernels = []
    for field in (near, far):
        torch.manual_seed(0)
        operator = IntegralOperator(8, MLPKernel(8, inputs=("displacement", "distance")))
        initialize_scales(operator, (field,))
        kernels.append(operator.kernel.tile(*operator.kernel.project(field, field)))
    torch.testing.assert_close(*kernels, rtol=1e-4, atol=1e-4)


def test_spacing_leaves_out_padding_and_coincident_points() -> None:
    positions = torch.tensor([[[0.0], [0.0], [1.0], [3.0], [3.1]]])
    assert spacing(Field(torch.zeros(1, 5, 1), positions, torch.tensor([[1.0, 1, 1, 1, 0]])).points) == 1.0
    assert spacing(Field(torch.zeros(1, 5, 1), torch.zeros(1, 5, 1)).points) == 0.0


def test_each_block_sees_the_blocks_before_it_initialised() -> None:
    torch.manual_seed(0)
    trunk, field = Trunk(Block(IntegralOperator(8, MLPKernel(8))) for _ in range(3)), grid(4)
    before = copy.deepcopy(trunk)
    initialize_scales(trunk, (field,))
    for block, old in zip(trunk.blocks, before.blocks, strict=True):
        assert isinstance(block, Block)
        assert isinstance(old, Block)
        normed = field.map(block.norm)
        integral = block.operator.evaluator(*block.operator.problems(normed)).flatten(0, 1)
        variance = (integral * factors(block.operator, old.operator).unsqueeze(1)).var(0).mean(-1)
        torch.testing.assert_close(variance, torch.ones(4))
        field = block(field)


def test_modalities_count_the_same() -> None:
    torch.manual_seed(0)
    trunk = Trunk([Block(IntegralOperator(8, MLPKernel(8)))])
    model = ITNetModel({name: FieldEncoder(8, channels=8) for name in ("fine", "coarse")}, trunk, {})
    before = copy.deepcopy(model)
    fields = {"fine": grid(9), "coarse": grid(3, seed=1)}
    initialize_scales(model, *((field, name) for name, field in fields.items()))
    block, old = model.trunk.blocks[0], before.trunk.blocks[0]
    assert isinstance(block, Block)
    assert isinstance(old, Block)
    variances = []
    for name, field in fields.items():
        normed = model.encoders[name](field).map(block.norm)
        integral = block.operator.evaluator(*block.operator.problems(normed)).flatten(0, 1)
        variances.append((integral * factors(block.operator, old.operator).unsqueeze(1)).var(0).mean(-1))
    torch.testing.assert_close(torch.stack(variances).mean(0), torch.ones(4))


def test_only_parameters_change_and_no_number_is_drawn() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.dropout = nn.BatchNorm1d(8), nn.Dropout(0.5)
            self.operator = IntegralOperator(8, MLPKernel(8))

        def forward(self, field: Field) -> Field:
            return self.operator(field.map(lambda u: self.dropout(self.norm(u.transpose(1, 2)).transpose(1, 2))))

    model = Stem()
    twin, state = copy.deepcopy(model), torch.get_rng_state()
    for one in (model, twin):
        initialize_scales(one, (grid(4),))
    assert torch.equal(state, torch.get_rng_state())
    assert all(module.training for module in model.modules())
    assert not model.norm.num_batches_tracked
    torch.testing.assert_close(dict(model.named_parameters()), dict(twin.named_parameters()), rtol=0, atol=0)


def test_a_kernel_of_low_rank_gets_unit_variance() -> None:
    operator, field = IntegralOperator(8, create("kernel", "low-rank", dim=8)), grid(5)
    assert_unit_variance(operator, field)


def test_other_kernels_stay() -> None:
    operator = IntegralOperator(8, create("kernel", "attention", dim=8))
    before = copy.deepcopy(operator.state_dict())
    initialize_scales(operator, (grid(4),))
    torch.testing.assert_close(dict(operator.state_dict()), dict(before), rtol=0, atol=0)
