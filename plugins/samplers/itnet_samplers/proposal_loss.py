"""Loss of a learned proposal: the second moment of the Monte Carlo estimate."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import Problem, pair_matrix

QUERIES = 16
"""Largest number of query points to average the second moment over."""


def proposal_loss(problem: Problem, log_proposal: Tensor) -> Tensor:
    """Compute the log of the estimate's second moment, with a gradient to the proposal p only.

    With nodes y_j ~ p, the integral at x_i is estimated by (1/M) Σ_m (w_j / p_j) f_ij for f_ij = k(x_i, y_j) V u(y_j).
    Its second moment is

        E‖estimate_i‖² = (1/M) Σ_j w_j² ‖f_ij‖² / p_j + (1 − 1/M) ‖integral_i‖²,

    so that p enters the mean over queries only through S(p) = Σ_j w_j² s_j² / p_j, where s_j² is the mean of ‖f_ij‖².
    By Cauchy-Schwarz S ≥ (Σ_j w_j s_j)², with equality at p* ∝ w_j s_j, and log S(p) − 2 log Σ_j w_j s_j is Rényi's
    divergence of order 2 of p from p*. For nodes drawn from q (the current p, without gradient) with the weights
    ω_m = w / (M q),

        Ŝ(p) / M = Σ_m ω_m² s_m² q_m / p_m

    is an unbiased estimate, and so is its gradient, −Σ_m ω_m² s_m² ∇log p_m at p = q. The log removes the scale, which
    differs between layers and falls during training. Without replacement the weights are w / π, with the inclusion
    probability π; the argument is the same for π.

    With `softmax` the estimate is a ratio of two, and its error, to first order, is that of the mean of e^k (v_j −
    integral_i) / Z_i, which takes the place of f_ij (Owen, Monte Carlo theory, methods and examples, section 9.2).

    The gradient of the result itself cannot train p: the derivative of the weights at fixed nodes is −(w / M p) ∇log p,
    whose mean, −Σ_j w_j f_ij ∇log p_j, is not the derivative of the estimate's mean, which does not depend on p.

    Args:
        problem: the integral at the nodes, with their weights ω; up to 16 query points of each sample are drawn to
            average over.
        log_proposal: log p of the nodes, (B, M), or (S, N, M) where S·N queries have nodes of their own.
    """
    moments = _moments(problem).to(log_proposal.dtype)
    log_moments = moments.clamp(min=torch.finfo(moments.dtype).tiny).log().view_as(log_proposal)
    return (log_moments + log_proposal.detach() - log_proposal).flatten(1).logsumexp(-1).mean()


@torch.no_grad()
def _moments(problem: Problem) -> Tensor:
    """Return ω_m² s_m² of the nodes, (B, M); under softmax `pair_matrix` gives ω e^k / Z."""
    problem = _subset(problem)
    matrix = pair_matrix(problem).to(problem.values.dtype)
    values = problem.values.transpose(1, 2)
    squares = values.square().sum(-1).unsqueeze(-2)
    if problem.kernel.normalization == "none":
        matrix = matrix * problem.key.weights[:, None, None, :].to(matrix.dtype)
    else:
        means = matrix @ values
        products = means @ values.transpose(-1, -2)
        squares = (squares - 2 * products + means.square().sum(-1, keepdim=True)).clamp(min=0)
    return (matrix.square() * squares).sum(1).mean(1)


def _subset(problem: Problem) -> Problem:
    """Return the problem at up to `QUERIES` of its query points that are not padding, drawn for each sample."""
    if problem.shape[1] <= QUERIES:
        return problem
    return problem.at_queries(torch.multinomial((problem.query.weights > 0).float(), QUERIES, replacement=True))
