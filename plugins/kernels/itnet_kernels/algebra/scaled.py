"""Kernels times a learned gate."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn

from itnet_core import ComponentConfig, ComponentRef, ConfigError, FastPath, Field, Kernel, Problem, RefersTo
from itnet_kernels.algebra.combination import read_positions
from itnet_registry import build_component, complete_reference

Scales = Literal["integral", "kernel"]


class ScaledKernel(Kernel[Any, Any]):
    """A kernel whose integral has a learned gate g that starts at 0: g ⊙ Σ_h O_h ∫ k_h V_h u dμ, one g per channel.

    In a sum, the integral contributes nothing at first, as in LayerScale (Touvron et al., arXiv 2103.17239) and ReZero
    (Bachlechner et al., arXiv 2003.04887). The gate follows O, so k, its evaluators and its fast paths stay those of
    the kernel.

    With `scales="kernel"`, the gate is a factor of k, one per head, for products: with `softmax`, e^{g k} starts as 1,
    so the product of attention and a scaled kernel starts as attention.

    Example:
        >>> from itnet_kernels import SumKernel
        >>> scaled = {"name": "scaled", "kernel": {"name": "mlp", "position_dim": 2}}
        >>> operator = IntegralOperator(8, SumKernel(8, kernels=["attention", scaled]))
        >>> operator.output[1].gate
        Parameter containing:
        tensor([0., 0., 0., 0., 0., 0., 0., 0.], requires_grad=True)

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.

    Raises:
        ConfigError: the kernel is a sum.
    """

    example_options: ClassVar = {"kernel": "itnet-kernels/attention", "start": 0.5}

    class Config(ComponentConfig):
        """The kernel, and its gate."""

        kernel: Annotated[ComponentRef, RefersTo("kernel")]
        """The kernel: a name, or a name with options."""
        start: float = 0.0
        """Initial value of the gate."""
        scales: Scales = "integral"
        """Factor that the gate multiplies: the `integral`, or k (`kernel`)."""

        def completed(self) -> Self:
            """Complete the configuration of the kernel."""
            return self.model_copy(update={"kernel": complete_reference("kernel", self.kernel, "kernel")})

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether the kernel reads positions."""
        return read_positions([config.kernel], axes)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self._scale(build_component("kernel", c.kernel, dim, place="ScaledKernel.kernel"), c.start, c.scales)

    @classmethod
    def of(cls, kernel: Kernel, start: float = 0.0, scales: Scales = "integral") -> Self:
        """Scale a kernel that exists already; the result has no configuration."""
        scaled = cls.__new__(cls)
        nn.Module.__init__(scaled)
        scaled.config = None
        scaled._scale(kernel, start, scales)
        return scaled

    def _scale(self, kernel: Kernel, start: float, scales: Scales) -> None:
        if len(kernel.summands) > 1:
            raise ConfigError(
                "ScaledKernel.kernel",
                found=f"a sum of {len(kernel.summands)} integrals",
                expected="one integral",
                hint="Scale each kernel of the sum.",
            )
        self.kernel, self.start, self.scales = kernel, start, scales
        self.heads, self.normalization, self.support = kernel.heads, kernel.normalization, kernel.support
        self.measure, self.values = kernel.measure, kernel.values
        self.scans, self.transformable = kernel.scans, kernel.transformable
        self.pointwise_terms, self.reads = kernel.pointwise_terms, kernel.reads
        self.gate = nn.Parameter(torch.full((kernel.heads,), start)) if scales == "kernel" else None

    def offers(self, path: FastPath) -> bool:
        """Whether the kernel has a fast path, and the gate is outside of it."""
        return self.scales == "integral" and path != "integrate" and self.kernel.offers(path)

    @property
    def opaque(self) -> bool:
        """Whether the kernel is opaque."""
        return self.kernel.opaque

    def initialize(self, shortest: float, longest: float) -> bool:
        """Set the kernel's lengths."""
        return self.kernel.initialize(shortest, longest)

    def problem(self, query: Field, key: Field, values: Tensor, **arguments: Any) -> Problem:
        """Return the problem of the kernel itself, unless the gate is a factor of k."""
        if self.scales == "kernel":
            return super().problem(query, key, values, **arguments)
        return self.kernel.problem(query, key, values, **arguments)

    def project(self, query: Field, key: Field, **arguments: Any) -> tuple[Any, Any]:
        """Compute the kernel's terms."""
        return self.kernel.project(query, key, **arguments)

    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        k: Tensor = self.kernel(query_terms, key_terms)
        return k if self.gate is None else k * self.gate.view(-1, 1, 1)

    @property
    def pair_width(self) -> int:
        """The kernel's pair width."""
        return self.kernel.pair_width

    def value_dim(self, dim: int) -> int:
        """Return the kernel's default head_dim."""
        return self.kernel.value_dim(dim)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V of the kernel."""
        return self.kernel.value_map(dim, head_dim)

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return Σ_h O_h of the kernel, with the gate, unless that is a factor of k."""
        output = self.kernel.output_map(head_dim, out_dim)
        return output if self.scales == "kernel" else GatedMap(output, out_dim, self.start)

    def can_transform(self, query: Field, key: Field) -> bool:
        """Whether the kernel's `transform` applies."""
        return self.kernel.can_transform(query, key)

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        """Compute the kernel's `transform`, times the gate."""
        gated = cast(GatedMap, output_map)
        return gated.gate * self.kernel.transform(query, key, value_map, gated.output)

    def step(self, state: Any, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        """Advance the kernel's stream."""
        return self.kernel.step(state, query, values)


class GatedMap(nn.Module):
    """A map of heads to channels, times a learned gate for each channel."""

    def __init__(self, output: nn.Module, channels: int, start: float) -> None:
        super().__init__()
        self.output = output
        self.gate = nn.Parameter(torch.full((channels,), start))

    def forward(self, integral: Tensor) -> Tensor:
        """Map (B, N, heads, head_dim) to (B, N, channels)."""
        out: Tensor = self.gate * self.output(integral)
        return out
