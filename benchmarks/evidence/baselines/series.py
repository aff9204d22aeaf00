"""Random convolutions with a linear classifier (ROCKET), for time series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_registry import create
from itnet_series.series import Series


class Rocket(nn.Module):
    """ROCKET (Dempster et al. 2020, arXiv 1910.13051), fitted to the training split without augmentation.

    Random dilated convolutions of 7, 9 or 11 taps over random channels; of each, the maximum and the share of positive
    values over a series' own steps; scikit-learn's ridge classifier, its penalty by cross-validation.
    """

    def __init__(self, task: Mapping[str, Any], *, kernels: int = 2000) -> None:
        super().__init__()
        from sklearn.linear_model import RidgeClassifierCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        created = create("task", **{**task, "augment": False})
        dataset = created.dataset("train")
        samples = [dataset[i] for i in range(len(dataset))]
        batch = created.collate(samples)
        self.mean, self.std = (torch.tensor(created.encoder_options[name]) for name in ("mean", "std"))
        self.classes = len(created.classes)
        self.longest = int(batch.inputs.lengths.max())
        self.bank = _kernels(kernels, batch.inputs.values.shape[-1], self.longest)
        self.model = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-3, 3, 10)))
        self.model.fit(self.features(batch.inputs), batch.targets.numpy())

    def forward(self, inputs: Series) -> Tensor:
        """Return the classes' decision values."""
        values = torch.from_numpy(self.model.decision_function(self.features(inputs))).float()
        if values.ndim == 1:  # of two classes
            values = torch.stack([-values, values], -1)
        scores = values.new_full((len(values), self.classes), -torch.inf)
        scores[:, torch.as_tensor(self.model.classes_)] = values
        return scores

    @torch.no_grad()
    def features(self, inputs: Series) -> np.ndarray:
        """Return two features of each kernel, (B, 2 · kernels)."""
        values = torch.nan_to_num((inputs.values - self.mean) / self.std).transpose(1, 2)
        inside = torch.arange(values.shape[-1]) < inputs.lengths.unsqueeze(1)
        values = F.pad(values * inside.unsqueeze(1), (0, max(0, self.longest - values.shape[-1])))
        columns = []
        for weight, bias, dilation, padding in self.bank:
            out = F.conv1d(values, weight, bias, padding=padding, dilation=dilation)[:, 0]
            steps = (inputs.lengths - (values.shape[-1] - out.shape[-1])).clamp(1, out.shape[-1])
            own = torch.arange(out.shape[-1]) < steps.unsqueeze(1)
            columns += [out.where(own, -torch.inf).amax(1), ((out > 0) & own).sum(1) / steps]
        return torch.stack(columns, 1).numpy()


def _kernels(count: int, channels: int, longest: int) -> list[tuple[Tensor, Tensor, int, int]]:
    """Draw weights (1, channels, taps), bias (1,), dilation and padding of each kernel."""
    bank = []
    for _ in range(count):
        taps = int(torch.tensor([7, 9, 11])[torch.randint(3, ())])
        some = int(channels ** float(torch.rand(())))
        weight = torch.zeros(1, channels, taps)
        chosen = torch.randperm(channels)[:some]
        drawn = torch.randn(some, taps)
        weight[0, chosen] = drawn - drawn.mean(1, keepdim=True)
        largest = max(0.0, float(np.log2(max(1, (longest - 1) / (taps - 1)))))
        dilation = int(2 ** (largest * float(torch.rand(()))))
        reach = (taps - 1) * dilation
        padded = bool(torch.rand(()) < 0.5) or reach >= longest
        bank.append((weight, 2 * torch.rand(1) - 1, dilation, reach // 2 if padded else 0))
    return bank
