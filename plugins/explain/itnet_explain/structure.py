"""The matrix of a kernel's weights on a sample: its rows, spectrum, the mass that points receive, and rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from itnet_core.operator.evaluators.dense import pair_weights
from itnet_explain.recording import Call

LARGEST_MATRIX = 1 << 20
"""Largest number of pairs of a sample whose weights are all computed; of larger matrices some rows are."""

ROWS = 32
"""Query points whose weights are computed at once."""

SPECTRUM_POINTS, COMPONENTS = 256, 32
"""Points on either side of the matrix whose spectrum is computed, and the number of its components that are kept."""


@dataclass(frozen=True)
class WeightMatrix:
    """Weights of a kernel on one sample.

    Attributes:
        sample: number of the sample.
        queries: numbers of the query points of the rows, none of them padding, in order, (R,).
        weights: what multiplies the values at each key point, (heads, R, M).
        complete: whether the rows are those of all query points.
    """

    sample: int
    queries: Tensor
    weights: Tensor
    complete: bool


@torch.no_grad()
def weight_matrix(call: Call, sample: int, queries: int) -> WeightMatrix:
    """Compute the weights of one sample at all query points, or at `queries` of them if there are too many pairs."""
    inside, keys = call.query.mask[sample].nonzero().squeeze(1), call.key.values.shape[1]
    complete = len(inside) * keys <= LARGEST_MATRIX
    chosen = inside if complete else inside[spread(len(inside), queries).to(inside.device)]
    rows = [pair_weights(call.problem(sample, part))[0].float().cpu() for part in torch.split(chosen, ROWS)]
    return WeightMatrix(sample, chosen.cpu(), torch.cat(rows, 1), complete)


def spread(size: int, most: int) -> Tensor:
    """Return at most `most` numbers from 0 to size − 1, evenly spaced."""
    return torch.linspace(0, size - 1, min(most, size)).round().long()


def spectrum(matrices: Sequence[WeightMatrix]) -> tuple[Tensor, Tensor]:
    """Return the effective rank, (heads,), and the share of energy of the leading components, (heads, at most 32).

    The effective rank is e^H with the entropy H of the normalised singular values (Roy & Vetterli 2007), of the matrix
    at up to 256 points of either side; the energy is that of their squares, summed up. Both are means over samples.
    """
    found = [_spectrum(matrix) for matrix in matrices]
    components = min(energy.shape[1] for _, energy in found)
    ranks, energies = torch.stack([rank for rank, _ in found]), [energy[:, :components] for _, energy in found]
    return ranks.mean(0), torch.stack(energies).mean(0)


def _spectrum(matrix: WeightMatrix) -> tuple[Tensor, Tensor]:
    _, rows, columns = matrix.weights.shape
    part = matrix.weights[:, spread(rows, SPECTRUM_POINTS)][:, :, spread(columns, SPECTRUM_POINTS)]
    values, tiny = torch.linalg.svdvals(part.double()), torch.finfo(torch.float64).tiny
    share = values / values.sum(1, keepdim=True).clamp(min=tiny)
    energy = values.square().cumsum(1)
    return torch.special.entr(share).sum(1).exp(), (energy / energy[:, -1:].clamp(min=tiny))[:, :COMPONENTS]


def received(matrix: WeightMatrix) -> Tensor:
    """Return the share of the size of all weights that each key point receives, (heads, M)."""
    mass = matrix.weights.abs().sum(1)
    return mass / mass.sum(1, keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)


class Rollout:
    """Rollout through blocks: the product of (I + A) / 2, with A the mean over heads of the sizes of the weights.

    The rows of A sum to 1 (Abnar & Zuidema, "Quantifying attention flow in Transformers", 2020). It is defined where
    all operators integrate over the points of their query. Kernels of one operator are added.
    """

    def __init__(self) -> None:
        self._operators: dict[int, list[tuple[str, Tensor]]] = {}
        self._points: dict[int, Tensor] = {}
        self.obstacle = ""

    def add(self, call: Call, matrices: Sequence[WeightMatrix]) -> None:
        """Add the weights of a kernel, in the order of the integrals."""
        if self.obstacle:
            return
        same = call.query.positions.shape == call.key.positions.shape and torch.equal(
            call.query.positions, call.key.positions
        )
        if not same:
            self.obstacle = f"{call.path} has query points of its own"
        elif not matrices or not all(matrix.complete for matrix in matrices):
            self.obstacle = f"{call.path} has too many points or heads"
        for matrix in () if self.obstacle else matrices:
            before = self._points.setdefault(matrix.sample, matrix.queries)
            if not torch.equal(before, matrix.queries):
                self.obstacle = f"{call.path} has other points than the operators before it"
                return
            size = matrix.weights[:, :, matrix.queries].abs().sum(0)
            path, operators = call.path.partition("[")[0], self._operators.setdefault(matrix.sample, [])
            if operators and operators[-1][0] == path:
                size = size + operators.pop()[1]
            operators.append((path, size))

    def matrices(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Return, for each sample, the numbers of its points, (N,), and what each reads of each input point, (N, N)."""
        found = {}
        for sample, operators in {} if self.obstacle else self._operators.items():
            product = torch.eye(len(self._points[sample]))
            for _, size in operators:
                total = size.sum(1, keepdim=True)
                step = torch.where(
                    total > 0, size / total.clamp(min=torch.finfo(size.dtype).tiny), torch.eye(len(size))
                )
                product = (product + step @ product) / 2
            found[sample] = self._points[sample], product
        return found
