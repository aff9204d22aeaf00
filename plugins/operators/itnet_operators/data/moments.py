"""Mean and standard deviation of the columns of many tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import DataError


class Moments:
    """Mean and standard deviation of each column over all rows, without NaN, in float64.

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([[1.0], [torch.nan]]))
        >>> moments.add(torch.tensor([[3.0]]))
        >>> moments.means("the targets"), moments.deviations("the targets")
        ((2.0,), (1.0,))
    """

    def __init__(self) -> None:
        self._count = self._total = self._squares = torch.zeros(0, dtype=torch.float64)
        self._origin: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Add the rows of a tensor (N, columns)."""
        known, rows = rows.isfinite(), rows.double()
        if self._origin is None:  # near the mean, so that squares do not cancel
            self._origin = rows.nanmean(0).nan_to_num()
            self._count = self._total = self._squares = torch.zeros_like(self._origin)
        centred = torch.where(known, rows - self._origin, 0.0)
        self._count = self._count + known.sum(0)
        self._total = self._total + centred.sum(0)
        self._squares = self._squares + centred.square().sum(0)

    def means(self, what: str) -> tuple[float, ...]:
        """Return the means.

        Raises:
            DataError: a column of `what` has no number.
        """
        assert self._origin is not None, "no rows"
        if not self._count.all():
            column = int((self._count == 0).nonzero()[0])
            raise DataError(what, found=f"no number in column {column}", expected="at least one in each column")
        return tuple((self._origin + self._total / self._count).tolist())

    def deviations(self, what: str, constant: float | None = None) -> tuple[float, ...]:
        """Return the standard deviations.

        Args:
            what: what the rows are, for errors.
            constant: the result for a column of one number; by default, it is refused.

        Raises:
            DataError: a column has no number, or the same everywhere.
        """
        self.means(what)
        variances = self._squares / self._count - (self._total / self._count).square()
        if constant is not None:
            variances = torch.where(variances > 0, variances, constant**2)
        elif not (variances > 0).all():
            column = int((variances <= 0).nonzero()[0])
            expected = "numbers that differ, to compute their unit from"
            raise DataError(what, found=f"the same number everywhere in column {column}", expected=expected)
        return tuple(variances.sqrt().tolist())
