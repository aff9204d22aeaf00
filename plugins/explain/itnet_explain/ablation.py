"""A model with parts of its kernels alone: what position, content and their interaction are worth to its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from itnet_core import Field, IntegralOperator, Kernel, evaluation_mode
from itnet_explain.recording import Call
from itnet_explain.variance import draw_contents

VARIANTS: Mapping[str, frozenset[str]] = {
    "everything": frozenset({"position", "content", "interaction"}),
    "position alone": frozenset({"position"}),
    "content alone": frozenset({"content"}),
    "without position": frozenset({"content", "interaction"}),
    "without content": frozenset({"position", "interaction"}),
    "without interaction": frozenset({"position", "content"}),
}
"""The parts that each variant of a kernel keeps, besides the constant."""

BANK = 24
"""Pairs of contents and pairs of positions that the parts are means over."""

MOST_PAIRS = 20_000
"""Largest number of pairs of points, N · M, of a kernel whose parts are computed."""


class _Terms(NamedTuple):
    values: Tensor
    positions: Tensor


class PartialKernel(Kernel[_Terms, None]):
    """Some parts of a kernel k = m + (k_position − m) + (k_content − m) + interaction, with its mean m.

    k_position(x, y) is the mean of k over pairs of contents, k_content(u, v) that over pairs of positions. The pairs
    are drawn once from a call.

    Args:
        call: of the exact kernel, whose terms depend on single points.
        parts: those to keep, of `position`, `content` and `interaction`.
        generator: of the pairs.
    """

    pointwise_terms = True
    contents: tuple[Tensor, Tensor]
    places: tuple[Tensor, Tensor]

    def __init__(self, call: Call, parts: frozenset[str], generator: torch.Generator) -> None:
        super().__init__()
        exact = call.kernel
        self.exact, self.parts = exact, parts
        self.heads, self.normalization, self.values = exact.heads, exact.normalization, exact.values
        self.support, self.measure = exact.support, exact.measure
        each = -(-BANK // len(call.query.values))
        self.contents = cast(
            "tuple[Tensor, Tensor]",
            tuple(draw_contents(side, each, generator).flatten(0, 1) for side in (call.query, call.key)),
        )
        self.places = call.draw_pairs(BANK, generator)

    def project(self, query: Field, key: Field, **ignored: Any) -> tuple[_Terms, _Terms]:
        """Return the values and positions of the points; masks and biases are left out."""
        return _Terms(query.values, query.positions), _Terms(key.values, key.positions)

    def tile(self, query_terms: _Terms, key_terms: _Terms) -> Tensor:
        """Compute the sum of the parts, (B, heads, n, m)."""
        (u, x), (v, y) = query_terms, key_terms
        mean, whole = self._mean(), "interaction" in self.parts
        compute: dict[str, Callable[[], Tensor]] = {
            "position": lambda: _for_distinct(self._position, (x, y)),
            "content": lambda: torch.stack([self._content(*pair) for pair in zip(u, v, strict=True)]),
        }
        # With the interaction, what is not kept is taken away from k; without it, what is kept is added to the mean.
        others = [function() - mean for name, function in compute.items() if (name in self.parts) != whole]
        if whole:
            return self.exact(*self.exact.project(Field(u, x), Field(v, y))) - sum(others)
        return sum(others, mean).expand(len(u), -1, u.shape[1], v.shape[1])

    def _position(self, x: Tensor, y: Tensor) -> Tensor:
        """Return E k over contents at positions (n, p) and (m, p), (heads, n, m)."""
        sides = [
            Field(values.unsqueeze(1).expand(-1, len(at), -1), at.expand(len(values), -1, -1))
            for values, at in zip(self.contents, (x, y), strict=True)
        ]
        return self.exact(*self.exact.project(*sides)).mean(0)

    def _content(self, u: Tensor, v: Tensor) -> Tensor:
        """Return E k over positions of contents (n, d) and (m, d), (heads, n, m)."""
        sides = [
            Field(values.expand(len(at), -1, -1), at.unsqueeze(1).expand(-1, len(values), -1))
            for values, at in zip((u, v), self.places, strict=True)
        ]
        return self.exact(*self.exact.project(*sides)).mean(0)

    def _mean(self) -> Tensor:
        """Return E k, (1, heads, 1, 1)."""
        values = self._content(*self.contents)
        return values.diagonal(dim1=1, dim2=2).mean(1).view(1, -1, 1, 1)


def _for_distinct(function: Callable[[Tensor, Tensor], Tensor], sides: tuple[Tensor, Tensor]) -> Tensor:
    """Apply a function to each sample's points; once, if all samples have the same."""
    batch = len(sides[0])
    if all(bool((side == side[:1]).all()) for side in sides):
        return function(sides[0][0], sides[1][0]).expand(batch, -1, -1, -1)
    return torch.stack([function(*pair) for pair in zip(*sides, strict=True)])


def obstacle(calls: list[Call]) -> str:
    """Return why the parts of a model's kernels cannot be computed, or ""."""
    for call in calls:
        if not call.kernel.pointwise_terms:
            return f"{call.path}: terms that depend on all points"
        if any(argument is not None for argument in call.arguments.values()):
            return f"{call.path}: masks or biases of pairs"
        if "[" in call.path:
            return f"{call.path}: a sum of integrals"
        if call.query.values.shape[1] * call.key.values.shape[1] > MOST_PAIRS:
            return f"{call.path}: more than {MOST_PAIRS:,} pairs of points"
    return ""


@contextmanager
def keeping(model: nn.Module, calls: list[Call], parts: frozenset[str], seed: int = 0) -> Iterator[None]:
    """Give the operators of a model parts of their kernels while the context is open."""
    generator = torch.Generator().manual_seed(seed)
    operators = {call.path: cast(IntegralOperator, model.get_submodule(call.path)) for call in calls}
    kernels = {path: operator.kernel for path, operator in operators.items()}
    try:
        for call in calls:
            operators[call.path].kernel = PartialKernel(call, parts, generator)
        yield
    finally:
        for path, operator in operators.items():
            operator.kernel = kernels[path]


@torch.no_grad()
def ablate(
    model: nn.Module, calls: list[Call], score: Callable[[], Mapping[str, float]], *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Score a model with each variant of its kernels.

    Example:
        >>> from itnet_explain import record
        >>> operator, field = IntegralOperator(8, MLPKernel(8)), Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4))
        >>> model = nn.ModuleDict({"first": operator})
        >>> calls = record(model, lambda: operator(field))
        >>> list(ablate(model, calls, lambda: {"mean": float(operator(field).values.mean())}))[:3]
        ['everything', 'position alone', 'content alone']

    Args:
        model: with the operators of the calls.
        calls: of `record`, on some samples that the parts are means over.
        score: scores the model.
        seed: of the random choices.

    Returns:
        The scores of each variant of `VARIANTS`; `everything` is the model as it is.
    """
    found = {}
    with evaluation_mode(model):
        for name, parts in VARIANTS.items():
            if name == "everything":
                found[name] = dict(score())
                continue
            with keeping(model, calls, parts, seed):
                found[name] = dict(score())
    return found
