"""The sums of the paper's kernel as operations of PyTorch, with their gradients: `itnet_triton::mlp_sum`.

Queries are taken in chunks, so that the forms φ_c(x) = χ(x)ᵀ T_c, (n, hidden, WIDTH), take bounded memory, forward and
backward. What is linear (χ to φ and back, and the gradient of T) is left to PyTorch's matrix products. The first entry
of χ is 1: T's first column is of x alone, and its first row has the weights of x − y and ‖x − y‖².
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import DerivativeError
from itnet_triton.launch import interpreting, launch

P = ParamSpec("P")
T = TypeVar("T")
CHUNK_NUMBERS = 1 << 25
"""Numbers that φ of a chunk of queries may hold, over all samples."""
GROUP = 4
"""Heads of a program, at most: their scores are in registers together."""
GROUP_WIDTH = 256
"""Channels of a program's heads, at most."""


@dataclass(frozen=True)
class _Problem:
    """What forward and backward share: prepared tensors and the kernels' common arguments.

    Attributes:
        forms: of φ, (R, hidden, WIDTH).
        own: of what depends on x alone, (R, hidden).
    """

    query: Tensor
    forms: Tensor
    own: Tensor
    dtype: torch.dtype
    tune: bool
    group: int
    causal: tuple[Tensor | None, Tensor | None]
    arguments: dict[str, Any]

    def chunks(self) -> Iterator[tuple[slice, dict[str, Any]]]:
        """Yield the chunks of queries, each with φ (B, n, hidden, WIDTH) and the other arguments."""
        batch, queries, _ = self.query.shape
        units, width = self.forms.shape[1:]
        size = max(1, CHUNK_NUMBERS // (batch * units * width))
        for first in range(0, queries, size):
            rows = slice(first, min(first + size, queries))
            query = self.query[:, rows].to(self.forms.dtype)
            phi = (query @ self.forms.flatten(1)).view(*query.shape[:2], units, width).to(self.dtype)
            chunk = {"phi": phi, "own": query @ self.own, "first": first, "chunk": rows.stop - first}
            yield rows, {**chunk, **self.arguments}


def _problem(
    query: Tensor,
    key: Tensor,
    forms: Tensor,
    query_positions: Tensor,
    key_positions: Tensor,
    second: Tensor,
    second_bias: Tensor,
    values: Tensor,
    bias: Tensor | None,
    query_time: Tensor | None,
    key_time: Tensor | None,
    displacement: bool,
    distance: bool,
    activation: str,
    dtype: torch.dtype,
    precision: str,
    tune: bool,
) -> _Problem:
    accumulator = torch.promote_types(dtype, torch.float32)
    heads, head_dim = values.shape[2:]
    features = query.shape[-1]
    forms = forms.to(accumulator)
    width = _power_of_two(features - 1)
    dim = _power_of_two(head_dim)
    group = next(size for size in range(max(1, min(GROUP, GROUP_WIDTH // dim)), 0, -1) if heads % size == 0)
    arguments = {
        "psi": F.pad(key[..., 1:].to(dtype), [0, width - features + 1]).contiguous(),
        "weight": forms[0, :, features:].contiguous(),
        "query_positions": query_positions.to(accumulator).contiguous(),
        "key_positions": key_positions.to(accumulator).contiguous(),
        "second": second.to(accumulator).contiguous(),
        "second_bias": second_bias.to(accumulator),
        "values": values.contiguous(),
        "bias": None if bias is None else bias.contiguous(),
        "query_time": None if query_time is None else query_time.contiguous(),
        "key_time": None if key_time is None else key_time.contiguous(),
        "queries": query.shape[1],
        "keys": key.shape[1],
        "units": forms.shape[1],
        "heads": heads,
        "head_dim": head_dim,
        "ACTIVATION": activation,
        "SOFTMAX": bias is not None,
        "CAUSAL": query_time is not None,
        "DISPLACEMENT": displacement,
        "DISTANCE": distance,
        "AXES": query_positions.shape[-1] if displacement or distance else 0,
        "HEADS": group,
        "WIDTH": width,
        "DIM": dim,
        "ACC": _triton_type(accumulator),
        "PRECISION": precision,
        "WIDE": interpreting(),
    }
    reach = (None, None) if query_time is None or key_time is None else _reach(query_time, key_time)
    of_products = F.pad(forms[..., 1:features], [0, width - features + 1])
    return _Problem(query, of_products, forms[..., 0], dtype, tune, group, reach, arguments)


def _power_of_two(number: int) -> int:
    """Return the power of two that holds this many columns of a tile, at least the 16 that a product needs."""
    return max(16, 1 << (number - 1).bit_length())


def _triton_type(dtype: torch.dtype) -> Any:
    import triton.language as tl

    return tl.float64 if dtype == torch.float64 else tl.float32


def _reach(query_time: Tensor, key_time: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the keys end that each query may see, and where the queries begin that may see each key."""
    later = key_time.flip(-1).cummin(-1).values.flip(-1).contiguous()
    earlier = query_time.cummax(-1).values.contiguous()
    end = torch.searchsorted(later, query_time.contiguous(), right=True, out_int32=True)
    return end, torch.searchsorted(earlier, key_time.contiguous(), out_int32=True)


def _without_autocast(operation: Callable[P, T]) -> Callable[P, T]:
    """Run an operation's own matrix products in the dtypes that it chose."""

    @wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        device = next(arg.device.type for arg in args if isinstance(arg, Tensor))
        with torch.autocast(device, enabled=False):
            return operation(*args, **kwargs)

    return run


@torch.library.custom_op("itnet_triton::mlp_sum", mutates_args=())
@_without_autocast
def mlp_sum(
    query: Tensor,
    key: Tensor,
    forms: Tensor,
    query_positions: Tensor,
    key_positions: Tensor,
    second: Tensor,
    second_bias: Tensor,
    values: Tensor,
    bias: Tensor | None,
    query_time: Tensor | None,
    key_time: Tensor | None,
    displacement: bool,
    distance: bool,
    activation: str,
    dtype: torch.dtype,
    precision: str,
    tune: bool,
) -> tuple[Tensor, Tensor]:
    """Return Σ_j k_h v_j, or Σ_j e^(k_h + bias) v_j / Σ_j e^(k_h + bias) with a bias; k = W_2 σ(χ(x)ᵀ T ψ(x, y)) + b_2.

    Args:
        query: χ of the query points, (B, N, R).
        key: χ of the key points, (B, M, R).
        forms: T, (R, hidden, R + G), as `PairInputs` has it.
        query_positions: (B, N, p).
        key_positions: (B, M, p).
        second: W_2, (heads, hidden).
        second_bias: b_2, (heads,).
        values: (B, M, heads, head_dim); without a bias, times their weights.
        bias: the weights' logarithms, (B, M), −∞ for padding; `None` without normalisation.
        query_time: the coordinate that is causal, (B, N); `None` for all pairs.
        key_time: likewise, (B, M).
        displacement: whether x − y stands behind χ(y) in ψ(x, y), in p of the forms' G columns.
        distance: whether ‖x − y‖² does, in the last one.
        activation: σ.
        dtype: of the hidden layer's factors.
        precision: of the products of float32, as `triton.language.dot` has it.
        tune: whether the shapes of blocks are measured first.

    Returns:
        (B, N, heads, head_dim), in float32 at least, because gradients through a softmax are differences from it; and
        the logarithms of the totals for the backward pass, (B, heads, N).
    """
    problem = _problem(
        query, key, forms, query_positions, key_positions, second, second_bias, values, bias, query_time, key_time,
        displacement, distance, activation, dtype, precision, tune,
    )  # fmt: skip
    batch, queries, heads = *query.shape[:2], values.shape[2]
    accumulator = problem.forms.dtype
    out = values.new_empty(batch, queries, heads, values.shape[3], dtype=accumulator)
    log_total = values.new_zeros(batch, heads, queries if bias is not None else 0, dtype=accumulator)
    for rows, arguments in problem.chunks():
        grid = rows.stop - rows.start, batch, heads // problem.group
        results = {"out": out, "log_total": log_total, "reach": problem.causal[0]}
        launch("sums", grid, 0, dtype, tune, **arguments, **results)
    return out, log_total


@mlp_sum.register_fake
def _(query: Tensor, key: Tensor, forms: Tensor, query_positions: Tensor, key_positions: Tensor, second: Tensor,
      second_bias: Tensor, values: Tensor, bias: Tensor | None, query_time: Tensor | None, key_time: Tensor | None,
      displacement: bool, distance: bool, activation: str, dtype: torch.dtype, precision: str,
      tune: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    batch, queries, heads = *query.shape[:2], values.shape[2]
    accumulator = torch.promote_types(dtype, torch.float32)
    log_total = values.new_empty(batch, heads, queries if bias is not None else 0, dtype=accumulator)
    return values.new_empty(batch, queries, *values.shape[2:], dtype=accumulator), log_total


@torch.library.custom_op("itnet_triton::mlp_sum_backward", mutates_args=())
@_without_autocast
def mlp_sum_backward(
    grad_out: Tensor,
    out: Tensor,
    log_total: Tensor,
    query: Tensor,
    key: Tensor,
    forms: Tensor,
    query_positions: Tensor,
    key_positions: Tensor,
    second: Tensor,
    second_bias: Tensor,
    values: Tensor,
    bias: Tensor | None,
    query_time: Tensor | None,
    key_time: Tensor | None,
    displacement: bool,
    distance: bool,
    activation: str,
    dtype: torch.dtype,
    precision: str,
    tune: bool,
    moves: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of `mlp_sum`'s first nine arguments.

    That of a missing bias is empty, and those of the positions are unless `moves` asks for them.
    """
    problem = _problem(
        query, key, forms, query_positions, key_positions, second, second_bias, values, bias, query_time, key_time,
        displacement, distance, activation, dtype, precision, tune,
    )  # fmt: skip
    accumulator = problem.forms.dtype
    batch, keys, heads = values.shape[:3]
    features, units, across = forms.shape
    moves = moves and across > features
    delta = (grad_out.to(accumulator) * out).sum(-1).transpose(1, 2).contiguous()
    grad_query = torch.zeros_like(query, dtype=accumulator)
    grad_forms, grad_products = torch.zeros_like(forms, dtype=accumulator), torch.zeros_like(problem.forms)
    grad_second = second.new_zeros(units, heads, dtype=accumulator)
    grad_second_bias = second.new_zeros(heads, dtype=accumulator)
    psi = problem.arguments["psi"]
    of_key = {
        "grad_psi": psi.new_zeros(psi.shape, dtype=accumulator),
        "grad_key_positions": values.new_zeros(key_positions.shape if moves else 0, dtype=accumulator),
        "grad_values": values.new_zeros(values.shape, dtype=accumulator),
        "grad_shift": values.new_zeros(batch, keys if bias is not None else 0, dtype=accumulator),
    }
    grad_query_positions = values.new_zeros(query_positions.shape if moves else 0, dtype=accumulator)
    given = {"grad_out": grad_out.to(values.dtype).contiguous(), "log_total": log_total, "delta": delta, "MOVES": moves}
    for rows, arguments in problem.chunks():
        phi, count = arguments["phi"], rows.stop - rows.start
        grad_phi = torch.zeros_like(phi, dtype=accumulator)
        of_query = {
            "grad_phi": grad_phi,
            "grad_own": grad_phi.new_zeros(batch, count, units),
            "grad_weight": grad_phi.new_zeros(batch, units, across - features, count),
            "grad_query_positions": grad_query_positions,
            "grad_second": grad_phi.new_zeros(batch, units, heads, count),
            "grad_bias": grad_phi.new_zeros(batch, heads, count),
        }
        shared = {**arguments, **given}
        for head in range(0, heads, problem.group):
            reach = {"reach": problem.causal[0], "head": head}
            launch("query_gradients", (count, batch, 1), 0, dtype, tune, **shared, **of_query, **reach)
            reach = {"reach": problem.causal[1], "head": head}
            launch("key_gradients", (keys, batch, 1), 1, dtype, tune, **shared, **of_key, **reach)
        grad_second += of_query["grad_second"].sum((0, 3))
        grad_second_bias += of_query["grad_bias"].sum((0, 2))
        present, flat, own = query[:, rows].to(accumulator), grad_phi.flatten(2), of_query["grad_own"]
        grad_query[:, rows] = flat @ problem.forms.flatten(1).T + own @ problem.own.T
        grad_products += (present.flatten(0, 1).T @ flat.flatten(0, 1)).view_as(grad_products)
        grad_forms[..., 0] += present.flatten(0, 1).T @ own.flatten(0, 1)
        grad_forms[0, :, features:] += of_query["grad_weight"].sum((0, 3))
    grad_forms[..., 1:features] = grad_products[..., : features - 1]
    return (
        grad_query.to(query.dtype),
        F.pad(of_key["grad_psi"][..., : features - 1], [1, 0]).to(key.dtype),
        grad_forms.to(forms.dtype),
        grad_query_positions.to(query_positions.dtype),
        of_key["grad_key_positions"].to(key_positions.dtype),
        grad_second.T.to(second.dtype, memory_format=torch.contiguous_format),
        grad_second_bias.to(second_bias.dtype),
        of_key["grad_values"].to(values.dtype),
        of_key["grad_shift"] if bias is None else of_key["grad_shift"].to(bias.dtype),
    )


@mlp_sum_backward.register_fake
def _(grad_out: Tensor, out: Tensor, log_total: Tensor, query: Tensor, key: Tensor, forms: Tensor,
      query_positions: Tensor, key_positions: Tensor, second: Tensor, second_bias: Tensor, values: Tensor,
      bias: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:  # fmt: skip
    moves = rest[-1] and forms.shape[2] > forms.shape[0]
    positions = [t if moves else t.new_empty(0) for t in (query_positions, key_positions)]
    given = query, key, forms, *positions, second, second_bias, values
    shift = log_total.new_empty(values.shape[0], 0) if bias is None else bias
    return tuple(torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in (*given, shift))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    out, log_total = output
    ctx.save_for_backward(out, log_total, *inputs[:11])
    ctx.mark_non_differentiable(log_total)
    ctx.options = inputs[11:]


def _backward(ctx: Any, grad_out: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if torch.is_grad_enabled():
        raise DerivativeError(
            "TritonEvaluator",
            found="a backward pass with create_graph=True",
            expected="first derivatives alone",
            hint="Use the evaluator 'dense' for second derivatives.",
        )
    out, log_total, *inputs = ctx.saved_tensors
    moves = any(ctx.needs_input_grad[3:5])
    grads: list[Tensor | None] = [*mlp_sum_backward(grad_out, out, log_total, *inputs, *ctx.options, moves)]
    if not moves or inputs[2].shape[2] == inputs[2].shape[0]:
        grads[3:5] = None, None
    if inputs[8] is None:
        grads[8] = None
    return *grads, *[None] * 8


mlp_sum.register_autograd(_backward, setup_context=_save)
