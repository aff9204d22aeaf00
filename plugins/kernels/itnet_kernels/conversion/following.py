"""Find attention in the functions that a module calls: scores q kᵀ, their softmax, and its product with values."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from itnet_kernels.conversion.products import PRODUCTS, Product, product

SAME = re.compile(
    r"(re)?shape|view|(un)?flatten|(un)?squeeze|contiguous|clone|to|type(_as)?|float|double|half|bfloat16"
)
"""Functions that leave numbers and their order the same."""
SCALES = re.compile(r"[ri]?mul|multiply|i?(true)?div|(true_)?divide")
CLEANS = re.compile(r"masked_fill|where|nan_to_num")
OTHERWISE = re.compile(r"linear|conv|norm|softmax|embedding")
"""Functions whose results are no scores any more."""
_multi_head_attention = FunctionType(
    (_given := F.multi_head_attention_forward).__code__,
    _given.__globals__ | {"has_torch_function": lambda tensors: False},
    argdefs=_given.__defaults__,
)
"""`multi_head_attention_forward`, whose calls of other functions a mode sees in place of the one."""
IN_PLACE = re.compile(r"__i(add|sub|mul|truediv)__|__setitem__|.*[^_]_")


@dataclass(frozen=True)
class Attention:
    """Attention that was found: the integral of v over the keys.

    Attributes:
        query: q, (*batch, N, d).
        key: k, (*batch, M, d).
        value: v, (*batch, M, channels).
        mask: `True` for pairs that count, or numbers to add to the scores.
        is_causal: whether earlier queries see earlier keys alone.
        scaling: factor on the scores; 1 / √d by default.
        dropout: whether weights are dropped.
        linear: whether the scores are the weights, without a softmax.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None = None
    is_causal: bool = False
    scaling: float | None = None
    dropout: bool = False
    linear: bool = False

    def split(self, heads: int) -> Attention:
        """Return the same with tensors (B, heads, …); a single batch axis is split if `heads` divide it."""
        mask = self.mask
        if mask is not None and self.query.ndim != 4:
            mask = _split(mask.expand(*self.query.shape[:-1], self.key.shape[-2]), heads)
        query, key, value = (_split(side, heads) for side in (self.query, self.key, self.value))
        return replace(self, query=query, key=key, value=value, mask=mask)


@dataclass(frozen=True)
class _Scores:
    """Scores: q kᵀ for factors q, (*batch, N, d), and k, (*batch, M, d), if they are known and nothing was added."""

    factors: tuple[Tensor, Tensor] | None
    plain: bool
    calls: tuple[Any, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What the record is true of, as long as it is not changed."""
        return self.factors or ()

    def transposed(self) -> _Scores:
        """Return the record of the transpose."""
        return replace(self, factors=self.factors and self.factors[::-1])


@dataclass(frozen=True)
class _Weights:
    """The softmax of scores, (*batch, N, M), or its transpose."""

    of: Tensor
    scores: _Scores
    calls: tuple[Any, ...]
    dropped: bool = False
    transposed: bool = False

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What the record is true of, as long as it is not changed."""
        return self.of, *self.scores.tensors


class Following(TorchFunctionMode, ABC):
    """Find attention in the functions that are called, and let `integrate` compute it.

    Scores are a product of two tensors that are no weights, with anything added to it: numbers after it that are not
    its multiples count as added. Their softmax over the last axis is followed to its product with the values, through
    functions that leave it the same. Linear attention is q (kᵀ v), a product of three tensors.

    Args:
        weights: parameters and buffers.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.weights = {storage(weight) for weight in weights}
        self.records: MutableMapping[Any, _Scores | _Weights] = WeakIdKeyDictionary()

    @abstractmethod
    def integrate(self, attention: Attention, calls: tuple[Any, ...]) -> Tensor | None:
        """Return the integral, (*batch, N, channels), or `None` where the original functions have to compute it.

        Args:
            attention: what was found.
            calls: the calls of functions that compute it, as named by `call`.
        """

    def call(self, name: str) -> Any:
        """Return a name for this call of a function."""
        return name

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given, kwargs = getattr(func, "__name__", str(func)), kwargs or {}
        name, everything = given.strip("_"), (*args, *kwargs.values())
        if any(isinstance(item, Tensor) and item.is_nested for item in everything):
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with self:
                return _multi_head_attention(*args, **kwargs)
        known = [(item, self.records[item]) for item in everything if item in self.records]
        call, factors, integral = self.call(name), product(name, args, kwargs), None
        if name == "scaled_dot_product_attention":
            fused = _fused(*args, **kwargs)
            added = (made for item, of in known if item is fused.mask for made in of.calls)
            integral = self.integrate(fused, (*added, call))
        elif factors is not None:
            integral = self._weighted(factors, call)
            integral = self._linear(factors, call) if integral is None else integral
        if integral is not None:
            return integral
        result = func(*args, **kwargs)
        self.observe(call, everything, result)
        changed = args[0] if args and (IN_PLACE.fullmatch(given) or name == "dropout") else kwargs.get("out")
        if isinstance(changed, Tensor):
            self._forget(storage(changed))
        scores = changed if result is None else result
        record: Any = None
        if factors is not None:
            record = self._scores(factors, result, call)
        elif known and isinstance(scores, Tensor) and name not in PRODUCTS:
            record = _followed(name, args, kwargs, known, scores, call)
        if record is not None:
            self.records[scores] = record
        return result

    def is_weight(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter or a buffer, or a view of one."""
        return storage(tensor) in self.weights

    def observe(self, call: Any, arguments: tuple[Any, ...], result: Any) -> None:
        """Observe a call that was not replaced."""

    def _scores(self, factors: Product, result: Tensor, call: Any) -> _Scores | None:
        if any(Following.is_weight(self, side) for side in (factors.left, factors.right)):
            return None  # a linear layer; queries that are computed from weights alone, as latents', are none
        return _Scores(factors.scores(result.shape), not factors.added, (call,))

    def _weighted(self, factors: Product, call: Any) -> Tensor | None:
        """Compute a product of weights and values by `integrate`, and return it; `None` if it is another product."""
        last = self.records.get(factors.right)
        if (
            isinstance(last, _Weights) and last.transposed and factors.indices is None
        ):  # v wᵀ for v (*batch, channels, M)
            self.records[weights := factors.right.mT] = replace(last, transposed=False)
            out = self._weighted(Product(weights, factors.left.mT), call)
            return None if out is None else out.mT.contiguous()
        record = self.records.get(factors.left)
        if not isinstance(record, _Weights) or record.transposed or self.is_weight(factors.right):
            return None
        if (found := factors.integral()) is None or not _differentiable(record, factors.left):
            return None
        (value, restore), weights = found, factors.left
        # `bmm` joins the heads with the batch; the scores may have them apart.
        *batch, points, keys = record.of.shape if record.of.ndim > 3 else weights.shape
        scores, v = record.of.reshape(*batch, points, keys), value.reshape(*batch, keys, -1)
        q, k = record.scores.factors or (scores.new_zeros(*batch, n, 1) for n in (points, keys))
        q, k = q.reshape(*batch, points, -1), k.reshape(*batch, keys, -1)
        mask = None if record.scores.plain else scores - q @ k.mT
        dtype = torch.promote_types(q.dtype, v.dtype)  # some layers compute scores in single precision
        q, k, v = (side.to(dtype) for side in (q, k, v))
        attention = Attention(q, k, v, mask, scaling=1.0, dropout=record.dropped)
        out = self.integrate(attention, (*record.calls, call))
        return None if out is None else restore(out.to(value.dtype).reshape(*weights.shape[:-1], -1)).contiguous()

    def _linear(self, factors: Product, call: Any) -> Tensor | None:
        """Compute a product of q and kᵀ v by `integrate`, and return it; `None` if it is another product."""
        moments, last = (_as_product(self.records.get(side)) for side in (factors.right, factors.left))
        if moments is None:
            if last is None:
                return None
            if factors.indices is not None:
                left, right, result = factors.indices
                return self._linear(Product(factors.right, factors.left, (right, left, result)), call)
            self.records[transposed := factors.left.mT] = last.transposed()
            out = self._linear(Product(factors.right.mT, transposed), call)  # (v kᵀ) qᵀ
            return None if out is None else out.mT.contiguous()
        found, query = factors.integral(), factors.left
        if found is None or found[0].shape[-2:] != factors.right.shape[-2:] or self.is_weight(query):
            return None
        batch = factors.right.shape[:-2]
        k, v = (side.mT.reshape(*batch, *side.mT.shape[-2:]) for side in moments.factors or ())
        dtype = torch.promote_types(query.dtype, v.dtype)
        q, k, v = (side.to(dtype) for side in (query, k, v))
        k, v = (side.expand(*q.shape[:-2], -1, -1) for side in (k, v))
        out = self.integrate(Attention(q, k, v, scaling=1.0, linear=True), (*moments.calls, call))
        return None if out is None else found[1](out.to(factors.right.dtype)).contiguous()

    def _forget(self, changed: int) -> None:
        """Remove the records of numbers that were changed in place."""
        for tensor, record in [*self.records.items()]:
            if changed in map(storage, (tensor, *record.tensors)):
                del self.records[tensor]


def storage(tensor: Tensor) -> int:
    """Return a number that tensors of the same memory share. Sparse tensors, and those under vmap, have one each."""
    if tensor.layout is not torch.strided:
        return id(tensor)
    try:
        return tensor.untyped_storage().data_ptr()
    except NotImplementedError:
        return id(tensor)


def _differentiable(record: _Weights, weights: Tensor) -> bool:
    """Whether the derivative of weights is that of the softmax of the scores.

    It is not if an `autograd.Function` computes them, or `no_grad` surrounds them.
    """
    needed = (weights, record.of, *(record.scores.factors or ())) if torch.is_grad_enabled() else ()
    return weights.requires_grad == record.of.requires_grad == any(item.requires_grad for item in needed)


def _as_product(record: _Scores | _Weights | None) -> _Scores | None:
    """Return the record of a tensor if that is a product, and nothing was added to it."""
    return record if isinstance(record, _Scores) and record.plain and record.factors is not None else None


def _followed(
    name: str, args: Any, kwargs: Any, known: list[Any], result: Tensor, call: Any
) -> _Scores | _Weights | None:
    """Return the record of what a function makes of scores or weights."""
    source, record = known[0]
    if isinstance(record, _Scores):  # of several summands, take one whose q and k are known
        source, record = next((pair for pair in known if getattr(pair[1], "factors", None)), known[0])
    same = result.shape[-2:] == source.shape[-2:] and result.numel() == source.numel()
    if isinstance(record, _Weights):
        drops = name == "dropout" and _drops(*args, **kwargs)
        kept = same and (
            name == "dropout"
            or SAME.fullmatch(name)
            or (CLEANS.fullmatch(name) and torch.equal(result, source))  # weights of masked keys are 0 already
        )
        if kept:
            return replace(record, dropped=record.dropped or drops)
        return replace(record, transposed=not record.transposed) if _is_transpose(result, source) else None
    calls = tuple(dict.fromkeys(call for _, item in known for call in item.calls))
    if name == "softmax":
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        return _Weights(source, record, (*calls, call)) if dim in (-1, source.ndim - 1) else None
    if OTHERWISE.search(name):
        return None
    if record.factors is not None and _is_transpose(result, source):
        return record.transposed()
    if record.factors is None or not same:
        return _Scores(None, False, calls)
    if SAME.fullmatch(name):
        return record
    if (factor := _factor(name, args, kwargs, source)) is None:
        return replace(record, plain=False, calls=calls)
    q, k = record.factors
    return replace(record, factors=(q.reshape(*result.shape[:-1], -1) * factor, k), calls=calls)


def _is_transpose(result: Tensor, source: Tensor) -> bool:
    """Whether a tensor is the transpose of a tensor in the same memory."""
    same = result.data_ptr() == source.data_ptr() and source.ndim > 1
    return same and (result.shape, result.stride()) == (source.mT.shape, source.mT.stride())


def _factor(name: str, args: Any, kwargs: Any, scores: Tensor) -> Any:
    """Return the factor of a function that multiplies or divides scores by the same for all keys; otherwise `None`."""
    if not SCALES.fullmatch(name) or kwargs or args[0] is not scores:
        return None
    factor = args[1]
    if isinstance(factor, Tensor) and factor.ndim and factor.shape[-1] != 1:
        return None
    return factor if "mul" in name else 1 / factor


def _drops(given: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, train: bool = True) -> bool:
    """Whether `dropout` drops anything."""
    return p > 0 and training and train


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Attention:
    """Return the attention of the arguments of `scaled_dot_product_attention`."""
    key, value = (side.expand(*query.shape[:-3], *side.shape[-3:]) for side in (key, value))
    return Attention(query, key, value, attn_mask, is_causal, scale, dropout_p > 0)


def _split(tensor: Tensor, heads: int) -> Tensor:
    """Return (*batch, heads, n, m) as (B, heads, n, m)."""
    if tensor.ndim == 3:
        heads = heads if tensor.shape[0] % heads == 0 else 1
        return tensor.reshape(-1, heads, *tensor.shape[1:])
    return tensor[None, None] if tensor.ndim == 2 else tensor.flatten(0, -4)
