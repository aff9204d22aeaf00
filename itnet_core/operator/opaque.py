"""An integral operator as one node of a compiled graph, for algorithms that read tensor values.

The node is a custom operator of PyTorch, which runs as eager PyTorch does. Its backward pass is a second one, which
takes the gradients of the graph that autograd recorded in the first. That graph is kept with the token, an output of
the first, until the compiled graph drops it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary, finalize

import torch
from torch import Tensor, nn

from itnet_core.operator.field import Field
from itnet_core.operator.point_tensors import flatten_points
from itnet_core.operator.points import Edges, distinct
from itnet_core.operator.stateless import with_parameters
from itnet_core.operator.transforms import recording


class _Recorded(NamedTuple):
    """An output with its graph, and the inputs that gradients are taken to."""

    out: Tensor
    inputs: list[Tensor]


PARTS = 5
"""Tensors of a field, apart from attributes: see `_tensors`."""
_operators: WeakValueDictionary[int, nn.Module] = WeakValueDictionary()
_recorded: dict[int, _Recorded] = {}
_last: WeakKeyDictionary[nn.Module, list[Field]] = WeakKeyDictionary()
"""Fields of each operator's last call, without values, for what is cached with their points, such as near points."""
_numbers = count()


def numbered(operator: nn.Module) -> int:
    """Return a new number, by which a graph names the operator."""
    number = next(_numbers)
    _operators[number] = operator
    return number


def apply_as_one_node(operator: nn.Module, number: int, out_dim: int, *fields: Field) -> Tensor:
    """Apply an operator, by its number, to a query, and a key if any; return the result's values, (B, N, out_dim)."""
    parameters = [parameter for _, parameter in operator.named_parameters(remove_duplicate=False)]
    attributes = {
        f"{number}.{name}": tensor
        for number, field in enumerate(fields)
        for name, tensor in field.points.attributes.items()
    }
    tensors = [tensor for field in fields for tensor in _tensors(field)] + [*attributes.values(), *parameters]
    recorded = torch.is_grad_enabled()
    differentiable = [recorded and tensor.requires_grad for tensor in tensors]
    device = fields[0].values.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return _apply(tensors, differentiable, number, len(fields), out_dim, dtype, [*attributes])[0]


@torch.library.custom_op(
    "itnet::apply",
    mutates_args=(),
    schema="(Tensor[] tensors, bool[] differentiable, int number, int fields, int out_dim, ScalarType? autocast,"
    " str[] attributes) -> (Tensor, Tensor)",
)
def _apply(
    tensors: list[Tensor],
    differentiable: list[bool],
    number: int,
    fields: int,
    out_dim: int,
    autocast: torch.dtype | None,
    attributes: list[str],
) -> tuple[Tensor, Tensor]:
    record = any(differentiable)
    # A compiled graph may write to the memory of a tensor after its last use there; what outlives the call is a copy.
    given = PARTS * fields + len(attributes)
    values = range(0, PARTS * fields, PARTS)
    kept = [tensor if i in values and not record else tensor.clone() for i, tensor in enumerate(tensors[:given])]
    inputs = [
        tensor.detach().requires_grad_(needed)
        for tensor, needed in zip(kept + tensors[given:], differentiable, strict=True)
    ]
    operator = _operators[number]
    names = [name for name, _ in operator.named_parameters(remove_duplicate=False)]
    parameters = dict(zip(names, inputs[given:], strict=True))
    device = tensors[0].device.type
    with recording(record), torch.autocast(device, autocast, enabled=autocast is not None):
        result = with_parameters(operator, parameters)(*_fields(operator, inputs[:given], attributes))
        out = result.values.to(tensors[0].dtype)
    token = torch.tensor(next(_numbers))
    if record:
        key = int(token)
        needed = [tensor for tensor, differentiate in zip(inputs, differentiable, strict=True) if differentiate]
        _recorded[key] = _Recorded(out, needed)
        finalize(token, _recorded.pop, key, None)
    return out.detach().clone(memory_format=torch.contiguous_format), token


@_apply.register_fake
def _(
    tensors: list[Tensor],
    differentiable: list[bool],
    number: int,
    fields: int,
    out_dim: int,
    autocast: torch.dtype | None,
    attributes: list[str],
) -> tuple[Tensor, Tensor]:
    values = tensors[0]
    return values.new_empty(*values.shape[:2], out_dim), torch.empty((), dtype=torch.int64)


@torch.library.custom_op(
    "itnet::apply_backward",
    mutates_args=(),
    schema="(Tensor token, Tensor grad_out, Tensor[] inputs) -> Tensor[]",
)
def _apply_backward(token: Tensor, grad_out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    recorded = _recorded[int(token)]
    with recording():
        grads = torch.autograd.grad(
            recorded.out, recorded.inputs, grad_out, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    return [grad.clone(memory_format=torch.contiguous_format) for grad in grads]


@_apply_backward.register_fake
def _(token: Tensor, grad_out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in inputs]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    tensors, ctx.differentiable, *_, ctx.attributes = inputs
    needed = [tensor for tensor, needed in zip(tensors, ctx.differentiable, strict=True) if needed]
    ctx.save_for_backward(output[1], *needed)


def _backward(ctx: Any, grad_out: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    token, *inputs = ctx.saved_tensors
    names: list[None] | None = None if ctx.attributes else []  # PyTorch takes an empty list for one of tensors
    grads = iter(_apply_backward(token, grad_out.contiguous(), inputs))
    return [next(grads) if needed else None for needed in ctx.differentiable], *[None] * 5, names


_apply.register_autograd(_backward, setup_context=_keep)


def _tensors(field: Field) -> tuple[Tensor, ...]:
    """Return values, positions, weights and both tensors of edges, without copies for samples that share them.

    The weights of a grid have its shape, (B, 1, *grid). Without edges, their tensors are empty.
    """
    weights = distinct(field.weights)
    weights = weights if field.grid is None else weights.view(-1, 1, *field.grid)
    none = weights.new_empty(0)
    sources, edge_weights = field.points.edges or (none, none.clone())
    return field.values, distinct(field.positions), weights, sources, edge_weights


def _fields(operator: nn.Module, tensors: Sequence[Tensor], attributes: Sequence[str]) -> list[Field]:
    """Return the fields of `_tensors` and their attributes, at the points of the last call where they are equal."""
    last, end = _last.get(operator, []), len(tensors) - len(attributes)
    fields = []
    for first in range(0, end, PARTS):
        own = f"{first // PARTS}."
        named = {
            name.removeprefix(own): tensor
            for name, tensor in zip(attributes, tensors[end:], strict=True)
            if name.startswith(own)
        }
        fields.append(_field(last, named, *tensors[first : first + PARTS]))
    parts = [part for field in fields for part in flatten_points(field.points)[0]]
    constant = not any(part.requires_grad or part.is_inference() for part in parts)
    if constant:
        _last[operator] = [field.map(lambda values: values.new_empty(*values.shape[:2], 0)) for field in fields]
    return fields


def _field(last: Sequence[Field], attributes: Mapping[str, Tensor], values: Tensor, *parts: Tensor) -> Field:
    given = [*parts, *attributes.values()]
    for field in last if not any(part.requires_grad for part in given) else ():
        known = field.points.attributes
        same = len(field.values) == len(values) and known.keys() == attributes.keys()
        if same and all(map(_are_equal, [*_tensors(field)[1:], *(known[name] for name in attributes)], given)):
            return field.with_values(values)
    positions, weights, sources, edge_weights = parts
    batch, grid = values.shape[0], tuple(weights.shape[2:]) or None
    field = Field(values, positions.expand(batch, -1, -1), weights.flatten(1).expand(batch, -1), grid)
    field = field.with_edges(Edges(sources, edge_weights)) if sources.ndim == 3 else field
    return field.with_attributes(**attributes) if attributes else field


def _are_equal(a: Tensor, b: Tensor) -> bool:
    return a.device == b.device and a.dtype == b.dtype and torch.equal(a, b)
