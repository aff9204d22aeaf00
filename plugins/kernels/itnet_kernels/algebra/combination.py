"""Base class of kernels made of several kernels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import Field as ConfigField
from torch import nn

from itnet_core import ComponentConfig, ComponentRef, Kernel, RefersTo, parse
from itnet_registry import build_component, complete_reference, component


class CombinedKernel(Kernel[tuple[Any, ...], Any]):
    """Base class of kernels made of several kernels, each by its name and options.

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    example_options: ClassVar = {"kernels": ["itnet-kernels/gaussian", {"name": "itnet-core/mlp", "hidden": 5}]}

    class Config(ComponentConfig):
        kernels: Annotated[tuple[ComponentRef, ...], RefersTo("kernel"), ConfigField(min_length=2)]
        """The kernels, each a name, or a name with options."""

        def completed(self) -> Self:
            """Complete the configurations of the kernels."""
            kernels = (
                complete_reference("kernel", reference, f"kernels.{number}")
                for number, reference in enumerate(self.kernels)
            )
            return self.model_copy(update={"kernels": tuple(kernels)})

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether one of the kernels reads positions."""
        return read_positions(config.kernels, axes)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = self.configure(config, options)
        name = type(self).__name__
        self._combine(
            [
                build_component("kernel", reference, dim, place=f"{name}.kernels.{number}")
                for number, reference in enumerate(self.config.kernels)
            ]
        )

    @classmethod
    def of(cls, *kernels: Kernel) -> Self:
        """Combine kernels that exist already; the result has no configuration."""
        combined = cls.__new__(cls)
        nn.Module.__init__(combined)
        combined.config = None
        combined._combine(kernels)
        return combined

    def _combine(self, kernels: Sequence[Kernel]) -> None:
        self.kernels = nn.ModuleList(kernels)
        self.scans = any(kernel.scans for kernel in kernels)
        self.reads = tuple({name: None for kernel in kernels for name in kernel.reads})
        self._check(kernels)

    @abstractmethod
    def _check(self, kernels: Sequence[Kernel]) -> None:
        """Set heads, normalization, support and measure.

        Raises:
            ConfigError: the kernels do not fit each other.
        """

    @property
    def opaque(self) -> bool:
        """Whether one of the kernels is opaque."""
        return any(kernel.opaque for kernel in self._kernels)

    def initialize(self, shortest: float, longest: float) -> bool:
        """Set the lengths of all kernels."""
        changed = [kernel.initialize(shortest, longest) for kernel in self._kernels]
        return any(changed)

    @property
    def pair_width(self) -> int:
        """Sum of the kernels' pair widths."""
        return sum(kernel.pair_width for kernel in self._kernels)

    @property
    def _kernels(self) -> tuple[Kernel, ...]:
        return tuple(cast(Iterable[Kernel], self.kernels))


def read_positions(references: Iterable[ComponentRef], axes: str) -> bool:
    """Whether one of the kernels reads positions that differ on these axes alone.

    Raises:
        ConfigError: one of them cannot integrate over such points.
    """
    read = []
    for reference in references:
        kernel = component("kernel", reference.name)
        config: ComponentConfig = parse(kernel.load().Config, reference.options, kernel.id)
        read.append(kernel.load().reads_positions(config, axes))
    return any(read)
