"""What a learned proposal is trained by: the second moment of the estimate that it leads to."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core.operator.evaluators.dense import pair_matrix
from itnet_core.operator.kernel import Kernel, Points

QUERIES = 16
"""Query points that the second moment is averaged over, at most."""


def proposal_loss(kernel: Kernel, query: Points, key: Points, values: Tensor, log_proposal: Tensor) -> Tensor:
    """Return the log of the estimate's second moment, with a gradient to the proposal p alone.

    With nodes y_j ~ p, the integral at x_i is estimated by (1/M) Σ_m (w_j / p_j) f_ij for f_ij = k(x_i, y_j) V u(y_j).
    Its second moment is

        E‖estimate_i‖² = (1/M) Σ_j w_j² ‖f_ij‖² / p_j + (1 − 1/M) ‖integral_i‖²,

    so that in the mean over queries p enters by S(p) = Σ_j w_j² s_j² / p_j alone, where s_j² is the mean of ‖f_ij‖². By
    Cauchy-Schwarz S ≥ (Σ_j w_j s_j)², with equality at p* ∝ w_j s_j, and log S(p) − 2 log Σ_j w_j s_j is Rényi's
    divergence of order 2 of p from p*. Of nodes drawn from q (p as it stands, without gradient), with the weights
    ω_m = w / (M q) that they were given,

        Ŝ(p) / M = Σ_m ω_m² s_m² q_m / p_m

    is an unbiased estimate, and so is its gradient, −Σ_m ω_m² s_m² ∇log p_m at p = q. The log takes the scale away,
    which differs from layer to layer and falls as training goes on. For draws without replacement w / (M q) is w / π
    with the probability π of being drawn at all; the argument is the same for π.

    With `softmax` the estimate is a ratio of two, and its error, to first order, is that of the mean of
    e^k (v_j − integral_i) / Z_i: f_ij is then that (Owen, Monte Carlo theory, methods and examples, section 9.2).

    The result's own gradient is no way to train p: the weights' derivative at fixed nodes is −(w / M p) ∇log p, whose
    mean, −Σ_j w_j f_ij ∇log p_j, is not the derivative of the estimate's mean, which does not depend on p.

    Args:
        kernel: the kernel.
        query: the query points; up to 16 of each sample are drawn to average over.
        key: the nodes, with their weights ω.
        values: at the nodes, (B, M, heads, head_dim).
        log_proposal: log p of the nodes, (B, M), or (S, N, M) where S·N queries have nodes of their own.
    """
    moments = _moments(kernel, query, key, values).to(log_proposal.dtype)
    log_moments = moments.clamp(min=torch.finfo(moments.dtype).tiny).log().view_as(log_proposal)
    return (log_moments + log_proposal.detach() - log_proposal).flatten(1).logsumexp(-1).mean()


@torch.no_grad()
def _moments(kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
    """Return ω_m² s_m² of the nodes, (B, M); under softmax ω e^k / Z is what `pair_matrix` gives."""
    query = _some(query)
    matrix = pair_matrix(kernel, query, key).to(values.dtype)
    values = values.transpose(1, 2)
    squares = values.square().sum(-1).unsqueeze(-2)
    if kernel.normalization == "none":
        matrix = matrix * key.weights[:, None, None, :].to(matrix.dtype)
    else:
        means = matrix @ values
        products = means @ values.transpose(-1, -2)
        squares = (squares - 2 * products + means.square().sum(-1, keepdim=True)).clamp(min=0)
    return (matrix.square() * squares).sum(1).mean(1)


def _some(query: Points) -> Points:
    """Return up to `QUERIES` of the query points that are there, drawn for each sample."""
    batch, points = query.weights.shape
    if points <= QUERIES:
        return query
    chosen = torch.multinomial((query.weights > 0).float(), QUERIES, replacement=True)
    rows = torch.arange(batch, device=chosen.device).unsqueeze(-1)
    return Points(*tree_map(lambda tensor: tensor[rows, chosen], tuple(query[:3])))
