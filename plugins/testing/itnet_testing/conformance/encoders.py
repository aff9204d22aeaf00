"""Checks of encoders."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from itnet_core import AXES, Encoder, Field, Kind
from itnet_testing.conformance.base import skip_unless
from itnet_testing.conformance.modules import ModuleConformance
from itnet_testing.conformance.tensors import assert_same, call


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

    @cached_property
    def encoder(self) -> Encoder:
        """An encoder, which maps and splits the inputs."""
        return cast(Encoder, self.build())

    def inputs(self) -> Any:
        """Return a batch of at least two samples, of different lengths where the modality has lengths."""
        encoder: Any = self.build()  # a new one, since it draws the same example each time
        return encoder.example()

    def split(self, inputs: Any) -> list[Any]:
        """Return the samples of a batch as batches of one, by `Encoder.split`."""
        return self.encoder.split(inputs)

    def map_tensors(self, inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
        """Return a batch with a function applied to each of its tensors, by `Encoder.map_tensors`."""
        return self.encoder.map_tensors(inputs, function)

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

    def check_batch_mapping(self) -> None:
        """`map_tensors` reaches the tensors of a batch, and leaves the batch itself as it is."""
        batch = self.inputs()
        before = self.tensors(batch)
        opaque = [leaf for leaf in tree_leaves(batch) if not isinstance(leaf, Tensor) and hasattr(leaf, "to")]
        assert before or not opaque, (
            f"map_tensors finds no tensor in a {type(opaque[0]).__name__}; override it in the encoder"
        )
        mapped = self.tensors(self.map_tensors(batch, torch.zeros_like))
        assert_same(mapped, [torch.zeros_like(tensor) for tensor in before], "mapped tensors and zeros", exact=True)
        changed = [n for n, pair in enumerate(zip(self.tensors(batch), before, strict=True)) if pair[0] is not pair[1]]
        assert not changed, f"map_tensors changes the batch that it maps (its tensor {changed[0]}); map a copy"

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

    @skip_unless(lambda case: case.encoder.attributes is not None, "the encoder's attributes depend on its inputs")
    def check_declared_attributes(self) -> None:
        """The points have the attributes that the encoder declares, and no others."""
        points, declared = self.encode(self.inputs()).points, set(self.encoder.attributes or ())
        found = {*points.attributes, *(["edges"] if points.edges is not None else [])}
        assert found == declared, f"points have {sorted(found)}; attributes declares {sorted(declared)}"

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
