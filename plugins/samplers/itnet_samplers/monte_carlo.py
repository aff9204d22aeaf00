"""The sampler `monte-carlo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from itnet_core import ComponentConfig, ConfigError, Field, Nodes, Sampler, ShapeError, distinct
from itnet_core.models.z_order import along_curve
from itnet_core.operator.transforms import EXPORT
from itnet_samplers.drawing import Method, draw
from itnet_samplers.proposal_loss import proposal_loss
from itnet_samplers.proposals import LearnedDensity, log_proposal


class MonteCarloSampler(Sampler):
    """Importance-weighted Monte Carlo: M points y_j ~ p with weights w_j / (M p_j) (docs/operator.md, §5).

    With normalization `none` the sum is unbiased for any proposal p. With `softmax`, a ratio of two such sums, it is
    consistent: the bias falls as 1/M, the error as M^{−1/2}. `itnet_samplers.drawing.draw` describes the methods and
    their weights. A field with no more than M points is left unchanged.

    A learned p is trained by `itnet_samplers.proposal_loss`, an auxiliary loss (`itnet_core.auxiliary_losses`), whose
    optimum is p* ∝ w_j ‖k(·, y_j) V u(y_j)‖. No other gradient reaches p: the weights do not depend on it. Under a
    causal support, note that p is normalised over all points, future ones included.

    In training, draws come from torch's global generator, separately for each sample. In evaluation they are the same
    each time and for every sample, so that a prediction depends neither on earlier calls nor on its batch.

    Example:
        >>> field = Field(torch.randn(1, 100, 8), torch.rand(1, 100, 4))
        >>> MonteCarloSampler(8, points=10)(field, field).indices.shape
        torch.Size([1, 10])
    """

    example_options: ClassVar[Mapping[str, Any]] = {"points": 8}

    class Config(ComponentConfig):
        """The proposal and how points are drawn."""

        points: PositiveInt = 128
        """Number of points, M."""
        proposal: Literal["measure", "uniform", "channel", "learned"] = "measure"
        """p: ∝ w (`measure`); `uniform` over the points of weight > 0; ∝ w |u_c| for a `channel` c of the field; or
        ∝ w exp g(y, u(y)) with an MLP g (`learned`)."""
        method: Method = "systematic"
        """`systematic` or `priority` without replacement; `independent` or `stratified` with replacement."""
        per_query: bool = False
        """Whether each query has its own nodes; M terms per query are then in memory at once."""
        channel: NonNegativeInt = 0
        """The channel c of the proposal `channel`."""
        hidden: PositiveInt = 16
        """Hidden units of g."""
        position_dim: PositiveInt = 4
        """Coordinates of the positions that g reads; 4 in models."""
        defensive: Annotated[float, ConfigField(ge=0, lt=1)] = 0.1
        """Share of the proposal `measure` mixed into `channel` and `learned`, which bounds the weights."""
        seed: NonNegativeInt = 0
        """Seed of the draws in evaluation."""
        fresh: bool = False
        """Whether evaluation draws new points each time, as training does."""

        @model_validator(mode="after")
        def _fits(self) -> MonteCarloSampler.Config:
            if self.method == "priority" and self.per_query:
                raise ValueError("another method than priority with per_query, since it draws a number for every pair")
            if self.proposal == "channel" and self.defensive == 0:
                raise ValueError("defensive > 0 with a channel, since points where it is 0 would never be drawn")
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
        shape = indices.shape if c.per_query else (indices.shape[0], c.points)
        indices, expected = indices.flatten(1), expected.flatten(1).to(key.weights.dtype)
        indices = indices if order is None else order.gather(1, indices)
        weights = key.weights.gather(1, indices) / expected
        if not self.learned:
            return Nodes(indices.view(shape), weights.view(shape))
        log_p = log_p.gather(1, indices)
        log_p = torch.where(
            expected == 1, log_p.detach(), log_p
        )  # a point drawn for certain cannot be drawn more often
        log_p = log_p.view(shape)
        return Nodes(indices.view(shape), weights.view(shape), loss=lambda problem: proposal_loss(problem, log_p))

    def _log_proposal(self, key: Field) -> Tensor:
        """Compute log p, (B, N)."""
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
        if torch.compiler.is_exporting():
            raise ConfigError(
                "MonteCarloSampler",
                found=EXPORT,
                expected="a sampler without random numbers: a graph would draw other points in each call",
                hint="Use another one: itnet export --sampler full, or use_sampler(model, 'full').",
            )
        if self.training or self.config.fresh:
            shape = (key.values.shape[0], queries, numbers)
            return torch.rand(shape, dtype=torch.float64, device=key.device)
        generator = torch.Generator().manual_seed(self.config.seed)
        return torch.rand((1, queries, numbers), dtype=torch.float64, generator=generator).to(key.device)
