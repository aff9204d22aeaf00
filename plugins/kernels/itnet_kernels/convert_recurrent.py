"""PyTorch's LSTM and GRU as integral operators."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from itnet_core import IntegralOperator, ShapeError
from itnet_core.evaluate import Evaluator
from itnet_kernels.convert_attention import sequence
from itnet_kernels.errors import ConversionError
from itnet_kernels.recurrent import PathState, RecurrentKernel
from itnet_kernels.recurrent_layers import GRU, LSTM, Recurrent


class FieldRecurrent(nn.Module):
    """What `torch.nn.LSTM` or `torch.nn.GRU` does to tensors, by integral operators; the arguments are the same.

    A sequence is a field at the times 0, 1, 2, …; in a packed one, what shorter sequences lack has weight 0. In
    training elements between layers are dropped with the module's probability, but other ones than the module would.

    Args:
        module: an LSTM or a GRU of any number of layers, both directions or one; its parameters are shared.
        evaluator: how the integrals are computed.
        options: of the kernels, such as `solver="newton"`.

    Raises:
        ConversionError: the states of the module are projected (`proj_size`).
    """

    def __init__(self, module: nn.LSTM | nn.GRU, evaluator: Evaluator | None = None, **options: Any) -> None:
        super().__init__()
        if module.proj_size:
            raise ConversionError(
                f"{type(module).__name__}.proj_size", found=f"{module.proj_size}", expected="0, states as they are"
            )
        layer: type[Recurrent] = LSTM if isinstance(module, nn.LSTM) else GRU
        with torch.device("meta"):  # the weights are the module's
            self.layers = layer(
                module.input_size,
                module.hidden_size,
                layers=module.num_layers,
                bidirectional=module.bidirectional,
                dropout=module.dropout,
                evaluator=evaluator,
                bias=module.bias,
                axis=0,
                **options,
            )
        suffixes = ["", "_reverse"] if module.bidirectional else [""]
        names = [f"l{number}{suffix}" for number in range(module.num_layers) for suffix in suffixes]
        kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
        for operator, name in zip(self.layers.operators, names, strict=True):
            kernel = cast(RecurrentKernel, cast(IntegralOperator, operator).kernel)
            for kind in kinds:
                setattr(kernel.recurrence, f"{kind}_l0", getattr(module, f"{kind}_{name}"))
        self.batch_first, self.hidden = module.batch_first, module.hidden_size

    def flatten_parameters(self) -> None:
        """Do nothing: the weights of each operator are its own."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002
        """Return what the module would: all states of the last layer, and the last states of all layers.

        Args:
            input: (T, B, C), or (B, T, C) if the module has batch_first, or (T, C); or a `PackedSequence`.
            hx: (h_0, c_0) of an LSTM, h_0 of a GRU, each (layers · directions, B, hidden); 0 by default.
        """
        if isinstance(input, PackedSequence):
            values, lengths = pad_packed_sequence(input, batch_first=True)
            there = torch.arange(values.shape[1]) < lengths.unsqueeze(-1)
            out, ends = self._run(values, there.to(values), hx)
            return _packed(out, lengths, input), ends
        if input.ndim == 2:
            states = None if hx is None else _each(hx, lambda state: state.unsqueeze(1))
            out, ends = self._run(input.unsqueeze(0), None, states)
            return out.squeeze(0), _each(ends, lambda state: state.squeeze(1))
        out, ends = self._run(input if self.batch_first else input.transpose(0, 1), None, hx)
        return out if self.batch_first else out.transpose(0, 1), ends

    def _run(self, values: Tensor, weights: Tensor | None, hx: Any) -> tuple[Tensor, Any]:
        states: list[PathState] | None = None
        if hx is not None:
            given = hx if isinstance(hx, tuple) else (hx,)
            parts = 2 if isinstance(self.layers, LSTM) else 1
            wanted = (len(self.layers.operators), len(values), self.hidden)
            if len(given) != parts or any(tuple(each.shape) != wanted for each in given):
                raise ShapeError(
                    "FieldRecurrent(hx)",
                    found=f"states of shape {', '.join(str(tuple(each.shape)) for each in given)}",
                    expected=f"{parts} of shape {wanted}",
                )
            states = list(zip(*given, strict=True))
        field, ends = self.layers.with_states(sequence(values, weights), states)
        last = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        return field.values, last if isinstance(self.layers, LSTM) else last[0]


def _each(states: Any, change: Any) -> Any:
    return tuple(map(change, states)) if isinstance(states, tuple) else change(states)


def _packed(values: Tensor, lengths: Tensor, like: PackedSequence) -> PackedSequence:
    """Return values, (B, T, C), packed in the order of another packed sequence."""
    if like.sorted_indices is not None:
        values, lengths = values[like.sorted_indices], lengths[like.sorted_indices.to(lengths.device)]
    packed = pack_padded_sequence(values, lengths, batch_first=True)
    return PackedSequence(packed.data, packed.batch_sizes, like.sorted_indices, like.unsorted_indices)
