"""Message passing: any kernel over the edges of a graph."""

from __future__ import annotations

from typing import Annotated, Any, Self

from itnet_core import ComponentConfig, ComponentRef, RefersTo, parse
from itnet_graph.kernels.edge_kernel import EdgeKernel
from itnet_registry import build_component, complete_reference, component


class MessagePassingKernel(EdgeKernel):
    """Message passing: a kernel of both ends of an edge, a(x, y) k(x, y, u(x), u(y)), over the edges to x.

    The message along an edge is Σ_h O_h k_h V_h u(y) (Gilmer et al., arXiv 1704.01212, eq. 1). With an MLP it is the
    paper's kernel with edges as its support, the kernel integration of graph neural operators (Li et al., arXiv
    2003.03485, eq. 9). With `attention` it is the attention of graph transformers, `TransformerConv` of PyTorch
    Geometric.

    Example:
        >>> from itnet_core import Edges, Field, IntegralOperator
        >>> edges = Edges(torch.tensor([[[1], [0], [1]]]), torch.ones(1, 3, 1))
        >>> operator = IntegralOperator(8, MessagePassingKernel(8))
        >>> operator(Field(torch.randn(1, 3, 8), torch.zeros(1, 3, 4)).with_edges(edges)).values.shape
        torch.Size([1, 3, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.

    Raises:
        ConfigError: the kernel is a sum, or scans.
    """

    class Config(EdgeKernel.Config):
        kernel: Annotated[ComponentRef, RefersTo("kernel")] = ComponentRef(name="itnet-core/mlp")
        """The kernel k: a name, or a name with options."""

        def completed(self) -> Self:
            """Complete the configuration of the kernel."""
            return self.model_copy(update={"kernel": complete_reference("kernel", self.kernel, "kernel")})

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether the kernel reads positions."""
        kernel = component("kernel", config.kernel.name)
        parsed: ComponentConfig = parse(kernel.load().Config, config.kernel.options, kernel.id)
        reads: bool = kernel.load().reads_positions(parsed, axes)
        return reads

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        c: Any = self.configure(config, options)
        super().__init__(build_component("kernel", c.kernel, dim, place="MessagePassingKernel.kernel"), c)
