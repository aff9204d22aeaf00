"""Base class of kernels over the past."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from itnet_core import AXES, Axis, ComponentConfig, Kernel, Measure, Problem, State, Support, Terms
from itnet_kernels.numerics.timeline import in_order


class CausalKernel(Kernel[Terms, State]):
    """Base class of kernels over the past: sums over the points at or before x, by the counting measure.

    Their fast path `integrate` applies to points in the order of time that are the same on both sides. A subclass sets
    `heads`.

    Example:
        >>> class Discounted(CausalKernel):
        ...     heads = 1
        ...     def project(self, query, key):
        ...         return self.time(query.positions), self.time(key.positions)
        ...     def tile(self, later, earlier):
        ...         return (earlier[:, None, None, :] - later[:, None, :, None]).exp()
        >>> field = Field(torch.randn(1, 3, 8), torch.arange(3.0).view(1, 3, 1).expand(1, 3, 4))
        >>> [problem] = IntegralOperator(8, Discounted(8)).problems(field)
        >>> pair_matrix(problem)
        tensor([[[[1.0000, 0.0000, 0.0000],
                  [0.3679, 1.0000, 0.0000],
                  [0.1353, 0.3679, 1.0000]]]])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    measure: Measure = "counting"
    scans: bool = True

    class Config(ComponentConfig):
        """The axis of time."""

        axis: Axis = "t"
        """Axis of time: a letter of t, x, y, z for positions in R^4, or a coordinate's number."""

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether the points differ on the axis of time alone, so that it orders them."""
        return axes == AXES[Support(causal=config.axis).causal_axis(len(AXES))]

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = self.configure(config, options)
        self.support = Support(causal=self.config.axis)

    @property
    def opaque(self) -> bool:
        """Return `True`: the fast paths read the order of the points."""
        return True

    def can_integrate(self, problem: Problem[Terms]) -> bool:
        """Whether the points are in the order of time, the same on both sides."""
        return in_order(problem.query, problem.key, self.support)

    def time(self, positions: Tensor) -> Tensor:
        """Return the coordinate that is time, (B, N), of positions (B, N, p)."""
        return positions[..., self.support.causal_axis(positions.shape[-1])]
