"""Darcy flow."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from itnet_operators.data.tensor_files import read_tensors
from itnet_operators.samples import FieldSample, grid_points, samples_on
from itnet_operators.tasks.operator_learning import OperatorLearning
from itnet_tasks import Labelled

VALIDATION = 50
"""Samples at the end of the training file that are for validation."""


class Darcy(OperatorLearning):
    """Darcy flow: from the permeability of a porous square, −1 or 1, to the pressure (Li et al., arXiv 2010.08895).

    Reads neuraloperator's files `darcy_train_16.pt` (1,000 samples at 16 × 16 points, the last 50 of them for
    validation), `darcy_test_16.pt` and `darcy_test_32.pt` (50 samples each), which `python examples/fetch_data.py
    darcy` fetches. The rows of a file lie along y and its columns along x, at the cell centres of [−1, 1]².

    Example:
        >>> task = Darcy(root="data/darcy", scale=[0.1], resolution=32)
        >>> task.encoder_options, task.head
        ({'channels': 1, 'axes': 'yx'}, {'name': 'itnet-core/per-point', 'outputs': 1})
    """

    class Config(OperatorLearning.Config):
        """`validation` and `seed` have no effect, because the validation samples are fixed."""

        root: str
        """Folder of the files."""

        resolution: Literal[16, 32] = 16
        """Points per side in the test split; training and validation have 16."""

        def measured(self) -> dict[str, Any]:
            """Return the scale."""
            return {"scale": self.scale or Darcy(self).measured_scale()}

    axes, channels, outputs = "yx", 1, 1

    def training(self) -> Labelled:
        """Return the training samples."""
        return _labelled(self._training_file[:-VALIDATION])

    def validation(self) -> Labelled:
        """Return the last samples of the training file."""
        return _labelled(self._training_file[-VALIDATION:])

    def test(self) -> Labelled:
        """Return the samples of the test file of the configured resolution."""
        return _labelled(self._samples("test", self.config.resolution))

    @cached_property
    def _training_file(self) -> list[FieldSample]:
        return self._samples("train", 16)

    def _samples(self, split: str, side: int) -> list[FieldSample]:
        path = Path(self.config.root).expanduser() / f"darcy_{split}_{side}.pt"
        permeability, pressure = read_tensors(path, {"x": (-1, side, side), "y": (-1, side, side)})
        values, targets = (tensor.flatten(1).unsqueeze(-1) for tensor in (2 * permeability - 1, pressure))
        return samples_on(grid_points((side, side), "yx"), values, targets)


def _labelled(samples: list[FieldSample]) -> Labelled:
    return Labelled(samples, torch.zeros(len(samples)))
