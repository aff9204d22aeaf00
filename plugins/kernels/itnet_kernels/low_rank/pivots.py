"""Pivots and core of a skeleton (CUR) factorisation of matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def choose_pivots(matrices: Tensor, rank: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """Choose rows and columns that span those of several matrices, in the order of their contribution.

    Adaptive cross approximation (Bebendorf, "Approximation of boundary element matrices", 2000) with full pivoting:
    the largest entry of the residual is the pivot, and its row and column are eliminated. One choice serves all
    matrices: each is scaled to Frobenius norm 1, and they are stacked for the columns, concatenated for the rows.

    Args:
        matrices: shape (heads, n, m).
        rank: largest number of rows and of columns.
        tolerance: the largest residual of each matrix, relative to its Frobenius norm, to stop at.

    Returns:
        Indices of equally many rows and columns. If one side needs fewer, its first index fills the rest.
    """
    norms = torch.linalg.matrix_norm(matrices).clamp(min=torch.finfo(matrices.dtype).tiny)
    matrices = matrices / norms[:, None, None]
    columns = _columns(matrices.flatten(0, 1), rank, tolerance)
    rows = _columns(matrices.transpose(1, 2).flatten(0, 1), rank, tolerance)
    count = max(1, len(rows), len(columns))
    filled = ([*chosen, *[(chosen or [0])[0]] * (count - len(chosen))] for chosen in (rows, columns))
    first, second = (torch.tensor(chosen, device=matrices.device) for chosen in filled)
    return first, second


def errors_by_rank(matrices: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute the error of the best core between the first r rows and columns, for every r, shape (ranks, heads).

    It is ‖A − C U R‖ / ‖A‖ at U = C⁺ A R⁺, in Frobenius norms: with C = Q S and Rᵀ = Z T, ‖A − Q Qᵀ A Z Zᵀ‖ / ‖A‖.
    The first r columns of Q span the first r of C, so one matrix Qᵀ A Z gives it for all r.
    """
    left = torch.linalg.qr(matrices[:, :, columns]).Q
    right = torch.linalg.qr(matrices[:, rows].transpose(1, 2)).Q
    inner = (left.transpose(1, 2) @ matrices @ right).square()
    captured = inner.cumsum(1).cumsum(2).diagonal(dim1=1, dim2=2)
    total = matrices.square().sum((1, 2)).clamp(min=torch.finfo(matrices.dtype).tiny).unsqueeze(1)
    return (1 - captured / total).clamp(min=0).sqrt().T


def fit_core(matrices: Tensor, rows: Tensor, columns: Tensor, cutoff: float) -> Tensor:
    """Compute U = C⁺ A R⁺, the core of the least Frobenius error, shape (heads, columns, rows).

    Mahoney & Drineas, "CUR matrix decompositions for improved data analysis", 2009. Interpolation at the pivots, by the
    inverse of the rows at the columns, has about twice the error.

    Args:
        matrices: A, shape (heads, n, m).
        rows: indices of rows.
        columns: indices of columns.
        cutoff: singular values below this share of the largest are rounding errors, and are treated as 0.
    """
    left = torch.linalg.pinv(matrices[:, :, columns], rtol=cutoff)
    right = torch.linalg.pinv(matrices[:, rows], rtol=cutoff)
    return left @ matrices @ right


def _columns(matrix: Tensor, rank: int, tolerance: float) -> list[int]:
    """Choose the pivot columns of one matrix."""
    residual, chosen = matrix.contiguous().clone(), list[int]()
    sizes = residual.abs()
    rounding = torch.finfo(matrix.dtype).eps * float(sizes.max())
    while len(chosen) < min(rank, *matrix.shape) and float(torch.linalg.vector_norm(residual)) > tolerance:
        row, column = divmod(int(torch.abs(residual, out=sizes).argmax()), matrix.shape[1])
        pivot = residual[row, column].clone()
        if float(pivot.abs()) <= 8 * rounding:
            break
        residual.addr_(residual[:, column].clone(), residual[row] / pivot, alpha=-1)
        chosen.append(column)
    return chosen
