"""What the kit checks of encoders."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from itnet_core import AXES, Encoder, Field
from itnet_core.plugin.specs import Kind
from itnet_testing.conformance import ModuleConformance, call, due_when, same
from itnet_testing.fields import sample


class EncoderConformance(ModuleConformance):
    """Checks of an encoder; by default on the batch of its own `example`."""

    kind: ClassVar[Kind] = "encoder"

    def inputs(self) -> Any:
        """Return a batch of at least two samples, of different lengths where the modality has lengths."""
        encoder: Any = self.build()
        return encoder.example()

    def split(self, inputs: Any) -> list[Any]:
        """Return the samples of a batch as batches of one; tensors and lists are cut along their first axis."""
        return [_part(inputs, number) for number in range(_size(inputs))]

    def refined(self, times: int) -> Any:
        """Return one input, sampled `times` as finely (1, 2, 4, 8), if it is a function that can be."""
        raise NotImplementedError

    def module(self, **options: Any) -> nn.Module:
        """Return the encoder."""
        found: Encoder = self.cls(self.dim, **{**self.settings, **options})
        return found

    def encode(self, inputs: Any) -> Field:
        """Return the field of a batch."""
        found = call(self.build(), inputs)
        assert isinstance(found, Field), f"found {type(found).__name__}; expected a Field"
        return found

    def check_field_fits(self) -> None:
        """Its field has the channels asked for, and each sample has points in space-time."""
        field, size = self.encode(self.inputs()), len(self.split(self.inputs()))
        assert size >= 2, f"found a batch of {size}; the checks need two samples"
        expected = (size, field.values.shape[1], self.dim)
        assert field.values.shape == expected, f"values {tuple(field.values.shape)}; expected {expected}"
        assert field.positions.shape[-1] == len(AXES), f"positions have {field.positions.shape[-1]} coordinates"
        assert field.values.isfinite().all(), "a value is not finite"
        assert field.positions.isfinite().all(), "a position is not finite"
        assert (field.weights.isfinite() & (field.weights >= 0)).all(), "a weight is negative or not finite"

    def check_positions_lie_on_declared_axes(self) -> None:
        """Points differ on the axes that the encoder declares, and lie at 0 on the others."""
        positions = self.encode(self.inputs()).positions
        for number, axis in enumerate(AXES):
            if axis not in self.cls.axes:
                assert (positions[..., number] == 0).all(), f"positions differ from 0 on {axis}; declare it in axes"

    @due_when(lambda case: case.cls.mass is not None)
    def check_mass_is_declared(self) -> None:
        """The weights of each sample sum to the mass that the encoder declares."""
        found = self.encode(self.inputs()).weights.sum(-1)
        same(found, torch.full_like(found, self.cls.mass), "the weights' sums and the declared mass")

    def check_padding_is_absence(self) -> None:
        """A sample's points are the same alone as in a batch with others, which give it padding of weight 0."""
        inputs = self.inputs()
        whole = self.encode(inputs)
        for number, one in enumerate(self.split(inputs)):
            alone, there = self.encode(one), whole.mask[number]
            present = alone.mask[0]
            for part in ("values", "positions", "weights"):
                found, expected = getattr(whole, part)[number][there], getattr(alone, part)[0][present]
                assert found.shape == expected.shape, (
                    f"sample {number} has {len(found)} points of weight > 0 in the batch, and {len(expected)} alone"
                )
                same(found, expected, f"{part} of sample {number} in the batch and alone", tolerance=1e-4)

    @due_when(lambda case: type(case).refined is not EncoderConformance.refined)
    def check_refinement_converges(self) -> None:
        """The integral of its field converges when the input is sampled ever more finely."""
        fields = [self.encode(self.refined(times)) for times in (1, 2, 4, 8)]
        integrals = [(field.weights.unsqueeze(-1) * field.values).sum(1) for field in fields]
        steps = [float((fine - coarse).norm()) for coarse, fine in pairwise(integrals)]
        assert steps[-1] <= 0.5 * steps[0] + 1e-6, f"∫ u dμ moves by {', '.join(f'{step:.3g}' for step in steps)}"


def _size(inputs: Any) -> int:
    if isinstance(inputs, tuple):
        return _size(inputs[0])
    return len(inputs.values if isinstance(inputs, Field) else inputs)


def _part(inputs: Any, number: int) -> Any:
    if isinstance(inputs, Tensor):
        return inputs[number : number + 1]
    if isinstance(inputs, Field):
        return sample(inputs, number)
    if isinstance(inputs, list):
        return [inputs[number]]
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        return type(inputs)(*(_part(each, number) for each in inputs))
    raise NotImplementedError(f"split: found {type(inputs).__name__}; write how a batch of it is cut into samples")
