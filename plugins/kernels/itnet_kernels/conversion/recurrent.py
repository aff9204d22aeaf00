"""Conversion of PyTorch's LSTM, GRU and RNN."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from itnet_core import Evaluator, ShapeError
from itnet_core.operator.stateless import with_parameters
from itnet_kernels.conversion.attention import sequence_field
from itnet_kernels.conversion.converted import ConvertedLayer, remove_parameters, takes_fast_path
from itnet_kernels.errors import ConversionError
from itnet_kernels.recurrent.layers import GRU, LSTM, Recurrent
from itnet_kernels.recurrent.recurrent import PathState


class FieldRecurrent(ConvertedLayer, nn.RNNBase):
    """`torch.nn.LSTM`, `torch.nn.GRU` or `torch.nn.RNN` by integral operators.

    A sequence is a field at the times 0, 1, 2, …; a packed one is padded by points of weight 0. The kernels' fast path
    is the original's `forward`. With other evaluators, or Newton's method, dropout between layers has the module's
    probability, but draws other elements. An RNN is a GRU with the gates r = 1 and z = 0.

    Example:
        >>> lstm, x = nn.LSTM(4, 8, batch_first=True), torch.randn(2, 5, 4)
        >>> torch.allclose(FieldRecurrent(lstm)(x)[0], lstm(x)[0], atol=1e-5)
        True

    Args:
        module: an LSTM, GRU or RNN of any number of layers, both directions or one; its parameters are shared.
        evaluator: how the integrals are computed.
        options: of the kernels, such as `solver="newton"`.

    Attributes:
        template: the layers on fields, without parameters; see `layers`.

    Raises:
        ConversionError: the states of the module are projected (`proj_size`), or it is an RNN with ReLU.
    """

    template: Recurrent

    def __init__(self, module: nn.LSTM | nn.GRU | nn.RNN, evaluator: Evaluator | None = None, **options: Any) -> None:
        if module.proj_size:
            raise ConversionError(
                f"{type(module).__name__}.proj_size",
                found=f"{module.proj_size}",
                expected="0, no projection",
            )
        if module.mode == "RNN_RELU":
            raise ConversionError(
                f"{type(module).__name__}.nonlinearity", found="'relu'", expected="'tanh', as a GRU has"
            )
        super().__init__(module)
        self.steps = options.get("solver", "step") == "step"
        layer: type[Recurrent] = LSTM if module.mode == "LSTM" else GRU
        with torch.device("meta"):  # the weights are the module's
            self.template = layer(
                module.input_size,
                module.hidden_size,
                layers=module.num_layers,
                bidirectional=module.bidirectional,
                dropout=module.dropout,
                evaluator=evaluator,
                bias=module.bias or module.mode == "RNN_TANH",
                axis=0,
                **options,
            )
        remove_parameters(self.template)

    @property
    def layers(self) -> Recurrent:
        """The layers on fields, with the module's current weights."""
        suffixes = ["", "_reverse"] if self.bidirectional else [""]
        names = [f"l{number}{suffix}" for number in range(self.num_layers) for suffix in suffixes]
        kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else [])]
        weights: dict[str, Tensor] = {}
        for n, name in enumerate(names):
            cell = {kind: getattr(self, f"{kind}_{name}") for kind in kinds}
            cell = _as_gru(cell) if self.mode == "RNN_TANH" else cell
            weights |= {f"operators.{n}.kernel.recurrence.{kind}_l0": weight for kind, weight in cell.items()}
        return with_parameters(self.template, weights)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002
        """Compute all states of the last layer, and the last states of all layers, as the original.

        Args:
            input: (T, B, C), or (B, T, C) if the module has batch_first, or (T, C); or a `PackedSequence`.
            hx: (h_0, c_0) of an LSTM, h_0 of others, each (layers · directions, B, hidden); 0 by default.
        """
        packed = isinstance(input, PackedSequence)
        batched = packed or input.ndim == 3
        if hx is not None:
            hx = tuple(hx) if isinstance(hx, list | tuple) else (hx,)
            batch = input.batch_sizes[0] if packed else input.shape[0 if self.batch_first else 1]
            self._check(hx, (int(batch),) if batched else ())
        if (not packed and 0 in input.shape) or (self.steps and takes_fast_path(*self.template.operators)):
            states = hx if hx is None or self.mode == "LSTM" else hx[0]
            return cast(tuple[Any, Any], super().forward(input, states))
        if packed:
            values, lengths = pad_packed_sequence(input, batch_first=True)
            mask = torch.arange(values.shape[1]) < lengths.unsqueeze(-1)
            out, ends = self._run(values, mask.to(values), hx)
            return _pack_like(out, lengths, input), ends
        if not batched:
            states = None if hx is None else tuple(state.unsqueeze(1) for state in hx)
            out, ends = self._run(input.unsqueeze(0), None, states)
            return out.squeeze(0), ends.squeeze(1) if isinstance(ends, Tensor) else tuple(e.squeeze(1) for e in ends)
        out, ends = self._run(input if self.batch_first else input.transpose(0, 1), None, hx)
        return out if self.batch_first else out.transpose(0, 1), ends

    def _check(self, states: tuple[Tensor, ...], batch: tuple[int, ...]) -> None:
        parts, expected = 2 if self.mode == "LSTM" else 1, (len(self.template.operators), *batch, self.hidden_size)
        if len(states) != parts or any(tuple(state.shape) != expected for state in states):
            raise ShapeError(
                "FieldRecurrent(hx)",
                found=f"states of shape {', '.join(str(tuple(state.shape)) for state in states)}",
                expected=f"{parts} of shape {expected}",
            )

    def _run(self, values: Tensor, weights: Tensor | None, hx: tuple[Tensor, ...] | None) -> tuple[Tensor, Any]:
        states: list[PathState] | None = None if hx is None else list(zip(*hx, strict=True))
        field, ends = self.layers.with_states(sequence_field(values, weights), states)
        last = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        return field.values, last if self.mode == "LSTM" else last[0]


def _as_gru(cell: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a GRU with r = 1 and z = 0 in all floating-point formats, for those of an RNN."""
    zeros = cell["weight_hh"].new_zeros(len(cell["weight_hh"]))
    gates = {"bias_ih": torch.cat([zeros + 1e3, zeros - 1e3])}
    cell = {"bias_ih": zeros, "bias_hh": zeros, **cell}
    return {k: torch.cat([gates.get(k, w.new_zeros(2 * len(w), *w.shape[1:])), w]) for k, w in cell.items()}


def _pack_like(values: Tensor, lengths: Tensor, like: PackedSequence) -> PackedSequence:
    """Pack values, (B, T, C), in the order of another packed sequence."""
    if like.sorted_indices is not None:
        values, lengths = values[like.sorted_indices], lengths[like.sorted_indices.to(lengths.device)]
    packed = pack_padded_sequence(values, lengths, batch_first=True)
    return PackedSequence(packed.data, packed.batch_sizes, like.sorted_indices, like.unsorted_indices)
