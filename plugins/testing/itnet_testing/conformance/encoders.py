"""Checks of encoders."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from itnet_core import AXES, Encoder, Field, Kind
from itnet_testing.conformance.base import skip_unless
from itnet_testing.conformance.modules import ModuleConformance
from itnet_testing.conformance.tensors import assert_same, call
from itnet_testing.fields import sample


class EncoderConformance(ModuleConformance):
    """Test class for an encoder; by default its checks run on the batch of the encoder's `example`.

    Example:
        >>> class TestPatch(EncoderConformance):
        ...     component = "itnet-image/patch"
        ...     options = {"channels": 1, "patch_size": 4}
        ...     def inputs(self):
        ...         return torch.randn(2, 1, 16, 16)
        >>> [outcome.status for outcome in TestPatch().run("field_validity", "declared_mass")]
        ['passed', 'passed']
    """

    kind: ClassVar[Kind] = "encoder"

    def inputs(self) -> Any:
        """Return a batch of at least two samples, of different lengths where the modality has lengths."""
        encoder: Any = self.build()
        return encoder.example()

    def split(self, inputs: Any) -> list[Any]:
        """Return the samples of a batch as batches of one; by default, split tensors and lists along the first axis."""
        return [_part(inputs, number) for number in range(_size(inputs))]

    def refined(self, times: int) -> Any:
        """Return one input sampled `times` (1, 2, 4, 8) as finely, if the modality has a resolution."""
        raise NotImplementedError

    def module(self, **options: Any) -> nn.Module:
        """Return the encoder."""
        encoder: Encoder = self.cls(self.dim, **{**self.settings, **options})
        return encoder

    def encode(self, inputs: Any) -> Field:
        """Return the field of a batch."""
        field = call(self.build(), inputs)
        assert isinstance(field, Field), f"found {type(field).__name__}; expected a Field"
        return field

    def check_field_validity(self) -> None:
        """The field has `dim` channels, positions in space-time, and finite values, positions and weights."""
        field, size = self.encode(self.inputs()), len(self.split(self.inputs()))
        assert size >= 2, f"found a batch of {size}; the checks need two samples"
        expected = (size, field.values.shape[1], self.dim)
        assert field.values.shape == expected, f"values {tuple(field.values.shape)}; expected {expected}"
        assert field.positions.shape[-1] == len(AXES), f"positions have {field.positions.shape[-1]} coordinates"
        assert field.values.isfinite().all(), "a value is not finite"
        assert field.positions.isfinite().all(), "a position is not finite"
        assert (field.weights.isfinite() & (field.weights >= 0)).all(), "a weight is negative or not finite"

    def check_declared_axes(self) -> None:
        """Positions are 0 on all axes that the encoder does not declare."""
        positions = self.encode(self.inputs()).positions
        for number, axis in enumerate(AXES):
            if axis not in self.cls.axes:
                assert (positions[..., number] == 0).all(), f"positions differ from 0 on {axis}; declare it in axes"

    @skip_unless(lambda case: case.cls.mass is not None, "the encoder declares no mass")
    def check_declared_mass(self) -> None:
        """The weights of each sample sum to the mass that the encoder declares."""
        mass = self.encode(self.inputs()).weights.sum(-1)
        assert_same(mass, torch.full_like(mass, self.cls.mass), "the sums of the weights and the declared mass")

    def check_padding_invariance(self) -> None:
        """A sample has the same points alone as in a batch, except for padding of weight 0."""
        inputs = self.inputs()
        batch = self.encode(inputs)
        for number, part_of_batch in enumerate(self.split(inputs)):
            alone = self.encode(part_of_batch)
            for part in ("values", "positions", "weights"):
                actual = getattr(batch, part)[number][batch.mask[number]]
                expected = getattr(alone, part)[0][alone.mask[0]]
                assert actual.shape == expected.shape, (
                    f"sample {number} has {len(actual)} points of weight > 0 in the batch, and {len(expected)} alone"
                )
                assert_same(actual, expected, f"{part} of sample {number} in the batch and alone", tolerance=1e-4)

    @skip_unless(lambda case: type(case).refined is not EncoderConformance.refined, "the test defines no refined()")
    def check_refinement_convergence(self) -> None:
        """The integral of the field converges as the input is sampled more finely."""
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
    if isinstance(inputs, tuple) and type(inputs) is not tuple:  # a named tuple
        return type(inputs)(*(_part(item, number) for item in inputs))
    raise NotImplementedError(f"split: found {type(inputs).__name__}; override split() for such batches")
