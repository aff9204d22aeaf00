"""The antiderivative of random functions."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveInt

from itnet_operators.data.random_functions import RandomFunctions, cell_lengths
from itnet_operators.samples import FieldSample, grid_points, place_positions, samples_on
from itnet_operators.tasks.operator_learning import OperatorLearning
from itnet_tasks import Labelled

LengthScale = Annotated[float, ConfigField(ge=0.02, le=10)]
AtLeastTwo = Annotated[int, ConfigField(ge=2)]


class Antiderivative(OperatorLearning):
    """The antiderivative: from u on [0, 1] to x ↦ ∫_0^x u, DeepONet's first example (Lu et al., arXiv 1910.03193).

    u is a Gaussian random function with mean 0 and covariance exp(−|x − x'|² / 2ℓ²), drawn in float64 as a Fourier
    series of the period 1 + 6ℓ (`RandomFunctions.draw`). The series gives u and its integral exactly at any point. So a
    function depends on `function_seed`, `length_scale`, its number and the numbers of samples alone, and is the same at
    every resolution. Training samples have the seed 2·`function_seed`, test samples 2·`function_seed` + 1.

    Points lie at the centres of `points` equal cells of [0, 1], with equal weights; or, with `irregular`, at random,
    different for every sample, with the lengths of their Voronoi cells in [0, 1] as weights. [0, 1] lies along the axis
    x as [−1, 1].

    Example:
        >>> task = Antiderivative(samples=20, points=50)
        >>> sample = task.dataset("test")[0].inputs
        >>> u, integral = sample.values[:, 0], sample.targets[:, 0]
        >>> bool(((u.cumsum(0) - u / 2) / 50 - integral).abs().max() < 1e-3)  # the midpoint rule
        True
    """

    class Config(OperatorLearning.Config):
        points: AtLeastTwo = 64
        """Points of a function, in all splits."""

        irregular: bool = False
        """Random points with quadrature weights, instead of a grid."""

        length_scale: LengthScale = 0.2
        """Length scale ℓ of the covariance."""

        samples: AtLeastTwo = 1000
        """Functions for training and validation."""

        test_samples: PositiveInt = 200
        """Functions for test."""

        function_seed: NonNegativeInt = 0
        """Seed of the functions and of irregular points."""

        def measured(self) -> dict[str, Any]:
            """Return the scale."""
            return {"scale": self.scale or Antiderivative(self).measured_scale()}

    axes, channels, outputs = "x", 1, 1

    def training(self) -> Labelled:
        """Return the functions for training and validation."""
        return self._draw(self.config.samples, 2 * self.config.function_seed)

    def test(self) -> Labelled:
        """Return the functions for test."""
        return self._draw(self.config.test_samples, 2 * self.config.function_seed + 1)

    def _draw(self, count: int, seed: int) -> Labelled:
        c, random = self.config, torch.Generator().manual_seed(seed)
        functions = RandomFunctions.draw(count, c.length_scale, random)
        if c.irregular:
            points = torch.rand(count, c.points, generator=random, dtype=torch.float64).sort(1).values
        else:
            points = ((torch.arange(c.points).double() + 0.5) / c.points).expand(count, -1)
        values, targets = (tensor.float().unsqueeze(-1) for tensor in (functions(points), functions.integral(points)))
        if not c.irregular:
            return Labelled(samples_on(grid_points((c.points,), "x"), values, targets), torch.zeros(count))
        positions = place_positions((2 * points - 1).float().unsqueeze(-1), "x")
        parts = zip(values, positions, cell_lengths(points).float(), targets, strict=True)
        return Labelled([FieldSample(*part) for part in parts], torch.zeros(count))
