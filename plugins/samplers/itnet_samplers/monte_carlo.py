"""The Monte Carlo sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from itnet_core import ComponentConfig, Field, Nodes, Sampler, ShapeError
from itnet_core.models.z_order import along_curve
from itnet_core.operator.points import distinct
from itnet_samplers.drawing import Method, draw
from itnet_samplers.proposal_loss import proposal_loss
from itnet_samplers.proposals import LearnedDensity, log_proposal


class MonteCarloSampler(Sampler):
    """M points y_j drawn by a proposal p, weighing w_j / (M p_j): importance-weighted Monte Carlo (OPERATOR §5).

    The sum over them is unbiased with normalization `none`, whatever p; with `softmax`, a ratio of two such sums, it is
    consistent: its bias falls as 1/M, faster than its error, which falls as M^{−1/2}. `itnet_samplers.drawing.draw` has
    the methods and their weights. A field of no more than M points is taken as it is.

    A learned p is trained by `itnet_samplers.proposal_loss`, an auxiliary loss that training collects
    (`itnet_core.auxiliary_losses`); its optimum is p* ∝ w_j ‖k(·, y_j) V u(y_j)‖. No other gradient reaches it: weights
    are constants of p. Under a causal support, mind that p is normalised over all points, those to come too.

    In training it draws from torch's generator, for each sample. In evaluation it draws the same numbers each time, for
    every sample alike, so that a prediction depends neither on what came before nor on its batch.
    """

    example_options: ClassVar[Mapping[str, Any]] = {"points": 8}

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            points: M.
            proposal: p: by the `measure`, ∝ w; `uniform` over the points of weight > 0; ∝ w |u_c| for a `channel` c of
                the field; or `learned`, ∝ w exp g(y, u(y)) with an MLP g.
            method: `systematic` or `priority`, without replacement; `independent` or `stratified`, with it.
            per_query: whether each query has nodes of its own: M terms a query are then held at once.
            channel: c.
            hidden: hidden units of g.
            position_dim: coordinates of a position that g reads; 4 in models.
            defensive: the share of the measure's own p that is mixed into those of `channel` and `learned`: it bounds
                the weights.
            seed: of evaluation.
            fresh: whether evaluation draws anew each time, as training does.
        """

        points: PositiveInt = 128
        proposal: Literal["measure", "uniform", "channel", "learned"] = "measure"
        method: Method = "systematic"
        per_query: bool = False
        channel: NonNegativeInt = 0
        hidden: PositiveInt = 16
        position_dim: PositiveInt = 4
        defensive: Annotated[float, ConfigField(ge=0, lt=1)] = 0.1
        seed: NonNegativeInt = 0
        fresh: bool = False

        @model_validator(mode="after")
        def _fits(self) -> MonteCarloSampler.Config:
            if self.method == "priority" and self.per_query:
                raise ValueError("something else than priority with per_query: it draws a number for every pair")
            if self.proposal == "channel" and self.defensive == 0:
                raise ValueError("defensive > 0 with a channel: where it is 0 points would never be drawn")
            return self

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        if c.proposal == "channel" and c.channel >= dim:
            raise ShapeError("MonteCarloSampler.channel", found=f"{c.channel}", expected=f"less than dim = {dim}")
        self.learned = c.proposal == "learned"
        self.density = LearnedDensity(dim, c.position_dim, c.hidden) if self.learned else None

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        """Return the nodes, shared by all queries, (B, M), or `per_query`, (B, N, M)."""
        c = self.config
        if key.values.shape[1] <= c.points:
            return key
        log_p = self._log_proposal(key)
        p, order = log_p.detach().exp(), None
        if c.method in ("systematic", "stratified"):
            order = along_curve(distinct(key.positions)).expand_as(p)
            p = p.gather(1, order)
        queries = query.values.shape[1] if c.per_query else 1
        indices, expected = draw(p, c.points, c.method, lambda numbers: self._uniforms(key, queries, numbers))
        shape = indices.shape if c.per_query else (len(indices), c.points)
        indices, expected = indices.flatten(1), expected.flatten(1).to(key.weights.dtype)
        indices = indices if order is None else order.gather(1, indices)
        weights = key.weights.gather(1, indices) / expected
        if not self.learned:
            return Nodes(indices.view(shape), weights.view(shape))
        log_p = log_p.gather(1, indices)
        log_p = torch.where(expected == 1, log_p.detach(), log_p)  # what is drawn for certain would not be more often
        log_p = log_p.view(shape)
        return Nodes(indices.view(shape), weights.view(shape), loss=lambda problem: proposal_loss(problem, log_p))

    def _log_proposal(self, key: Field) -> Tensor:
        """Return log p, (B, N)."""
        c = self.config
        if c.proposal == "uniform":
            return log_proposal(None, (key.weights > 0).to(key.weights.dtype), 0)
        density = None
        if c.proposal == "channel":
            size = key.values[..., c.channel].detach().abs()
            density = size.clamp(min=torch.finfo(size.dtype).tiny).log()
        elif self.density is not None:
            density = self.density(key)
        return log_proposal(density, key.weights, c.defensive)

    def _uniforms(self, key: Field, queries: int, numbers: int) -> Tensor:
        if self.training or self.config.fresh:
            shape = (len(key.values), queries, numbers)
            return torch.rand(shape, dtype=torch.float64, device=key.device)
        generator = torch.Generator().manual_seed(self.config.seed)
        return torch.rand((1, queries, numbers), dtype=torch.float64, generator=generator).to(key.device)
