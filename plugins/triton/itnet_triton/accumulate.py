"""Sums of the gradients that the kernels compute for each chunk of queries and group of heads.

PyTorch's matrix products compute the linear parts: φ from χ, the gradient of χ from that of φ, and the gradient of T.
"""

from __future__ import annotations

import triton
from torch import Tensor
from torch.nn import functional as F

from itnet_triton.prepared import Prepared
from itnet_triton.problem import Pairs, Upstream

PROGRAMS = 512
"""Number of programs that fill a GPU. With fewer blocks of keys, several programs share a block, each with a span of
queries."""
KEYS, SPAN = 64, 64
"""Keys of a block, as assumed in counting programs; and queries of the shortest span, of which every span is a
multiple."""


class Gradients:
    """Running sums of the gradients to `Inputs`, in the type of sums."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared, inputs = prepared, prepared.inputs
        new = prepared.forms.new_zeros
        self.query = new(inputs.query.shape)
        self.psi = new(prepared.pairs.psi.shape)
        self.forms, self.own = new(prepared.forms.shape), new(prepared.own.shape)
        self.weight = new(prepared.pairs.weight.shape)
        self.query_positions = new(inputs.query_positions.shape if prepared.kind.moves else 0)
        self.key_positions = new(inputs.key_positions.shape if prepared.kind.moves else 0)
        self.second, self.second_bias = new(prepared.pairs.second.shape), new(inputs.second_bias.shape)
        self.values = new(inputs.values.shape)
        self.bias = new(0 if inputs.bias is None else inputs.bias.shape)

    def add_queries_side(self, rows: slice, pairs: Pairs, upstream: Upstream) -> None:
        """Add the gradients of the queries' side for a chunk of queries, for the heads from `pairs.head` on."""
        prepared, kind = self.prepared, self.prepared.kind
        new, (batch, count, units, width) = prepared.forms.new_empty, pairs.phi.shape
        grad_phi, grad_own = new(batch, count, units, width), new(batch, count, units)
        grad_gaps = new(batch, count, units, kind.axes + kind.distance)
        grad_second, grad_bias = new(batch, count, units, kind.heads), new(batch, count, kind.heads)
        results = grad_phi, grad_own, grad_gaps, grad_second, grad_bias
        prepared.launch("query_gradients", (count, batch, kind.parts), pairs, upstream, *results)
        heads = slice(pairs.head, min(pairs.head + kind.heads, pairs.heads))
        here = heads.stop - heads.start
        self.second[heads] += grad_second.sum((0, 1))[:, :here].T
        self.second_bias[heads] += grad_bias.sum((0, 1))[:here]
        query, flat = prepared.inputs.query[:, rows].to(grad_phi.dtype), grad_phi.flatten(2)
        self.query[:, rows] += flat @ prepared.forms.flatten(1).T + grad_own @ prepared.own.T
        self.forms += (query.flatten(0, 1).T @ flat.flatten(0, 1)).view_as(self.forms)
        self.own += query.flatten(0, 1).T @ grad_own.flatten(0, 1)
        displaced = kind.axes * kind.displacement
        if displaced:
            self.weight[:, :displaced] += grad_gaps[..., :displaced].sum((0, 1))
        if kind.distance:
            self.weight[:, displaced] += grad_gaps[..., kind.axes].sum((0, 1))
        if kind.moves and displaced:
            self.query_positions[:, rows] += grad_own @ pairs.weight[:, :displaced]
        if kind.moves and kind.distance:
            of_square = grad_gaps[..., : kind.axes].transpose(2, 3) @ pairs.weight[:, displaced]
            self.query_positions[:, rows] += 2 * of_square

    def add_keys_side(self, pairs: Pairs, upstream: Upstream) -> None:
        """Add the contribution of a chunk of queries to the gradients of the keys' side, for the heads from
        `pairs.head` on."""
        kind, new = self.prepared.kind, self.prepared.forms.new_empty
        batch, keys = self.psi.shape[:2]
        spans = max(1, min(PROGRAMS // (triton.cdiv(keys, KEYS) * batch), pairs.chunk // SPAN))
        spans = 1 if kind.listed else spans
        span = triton.cdiv(triton.cdiv(pairs.chunk, spans), SPAN) * SPAN
        spans = triton.cdiv(pairs.chunk, span)
        grad_psi, grad_positions = new(spans, *self.psi.shape), new(spans, *self.key_positions.shape)
        grad_values, grad_bias = new(spans, batch, keys, kind.heads, kind.dim), new(spans, *self.bias.shape)
        results = grad_psi, grad_positions, grad_values, grad_bias, span
        self.prepared.launch("key_gradients", (keys, batch, spans), pairs, upstream, *results)
        self.psi += grad_psi.sum(0)
        self.key_positions += grad_positions.sum(0)
        self.bias += grad_bias.sum(0)
        values = self.values[:, :, pairs.head : pairs.head + kind.heads]
        values += grad_values.sum(0)[:, :, : values.shape[2], : values.shape[3]]

    def results(self) -> tuple[Tensor, ...]:
        """Return the gradients of the first nine of `Inputs`; those that are not needed are empty."""
        features, hidden, across = self.prepared.inputs.forms.shape
        forms = F.pad(self.forms[..., : features - 1], [1, across - features])
        forms[..., 0] = self.own
        forms[0, :, features:] = self.weight
        key = F.pad(self.psi[..., : features - 1], [1, 0])
        second = self.second[:, :hidden].contiguous()
        sides = self.query_positions, self.key_positions
        return self.query, key, forms[:, :hidden].contiguous(), *sides, second, self.second_bias, self.values, self.bias
