"""Burgers' equation."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from itnet_operators.data.burgers_equation import interpolate, solve_burgers
from itnet_operators.data.tensor_files import read_tensors
from itnet_operators.samples import grid_points, samples_on
from itnet_operators.tasks.operator_learning import OperatorLearning
from itnet_tasks import Labelled

FILE = "burgers_lowres.pt"
POINTS, FINEST = 16, 256
TIME = 0.96
"""Time of the file's last step: its 17 steps are 0.06 apart."""
TRAINING = 1000
"""Samples of the file for training and validation; the others are for test."""


class Burgers(OperatorLearning):
    """Burgers' equation ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x² on a circle: from u at time 0 to u at time 0.96.

    Reads neuraloperator's file `burgers_lowres.pt`, 1,200 random initial values and their solutions at 16 points of a
    circle of length 1, with ν = 0.01, which `python examples/fetch_data.py burgers` fetches. The first 1,000 samples
    are for training and validation, the last 200 for test.

    `resolution` 4 and 8 take every fourth and every second point of the file. The file has no finer data: from 32 to
    256, the initial values are the trigonometric interpolants of the file's, and the solutions are computed from them
    by a spectral method on 256 points (`solve_burgers`), of which every k-th is taken. At the points of the file they
    differ from its solutions by a relative error of 2e-4 on average, and 3e-3 at most.

    The circle is the axis x from −1 to 1, of the period 2; point i of n lies at −1 + 2i/n.

    Example:
        >>> task = Burgers(root="data/burgers", scale=[0.2])
        >>> task.encoder_options
        {'channels': 1, 'axes': 'x'}
    """

    class Config(OperatorLearning.Config):
        root: str
        """Folder of the file."""

        resolution: Literal[4, 8, 16, 32, 64, 128, 256] = 16
        """Points along the circle, in all splits. Above 16, solutions are computed, which takes seconds."""

        def measured(self) -> dict[str, Any]:
            """Return the scale."""
            return {"scale": self.scale or Burgers(self).measured_scale()}

    axes, channels, outputs = "x", 1, 1

    def training(self) -> Labelled:
        """Return the first 1,000 samples."""
        return self._labelled(slice(TRAINING))

    def test(self) -> Labelled:
        """Return the other samples."""
        return self._labelled(slice(TRAINING, None))

    def _labelled(self, part: slice) -> Labelled:
        initial, last, viscosity = self._file
        initial, last, resolution = initial[part], last[part], self.config.resolution
        if resolution > POINTS:
            initial = interpolate(initial.double(), FINEST)
            last = solve_burgers(initial, TIME, viscosity)
        stride = initial.shape[1] // resolution
        values, targets = (tensor[:, ::stride].float().unsqueeze(-1) for tensor in (initial, last))
        shift = 1 / resolution  # from the left end of a cell to its centre
        points = grid_points((resolution,), "x", bounds=[(-1 - shift, 1 - shift)])
        return Labelled(samples_on(points, values, targets), torch.zeros(len(values)))

    @cached_property
    def _file(self) -> tuple[Tensor, Tensor, float]:
        """Initial values (S, 16), values at the last step (S, 16), and the viscosity."""
        path = Path(self.config.root).expanduser() / FILE
        shapes = {"input": (1200, POINTS), "output": (1200, 17, POINTS), "visc": (1, 1)}
        initial, solution, viscosity = read_tensors(path, shapes)
        return initial, solution[:, -1], float(viscosity)
