"""Base class of converted layers."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, Self
from weakref import ref

from torch import Tensor, nn

from itnet_core import FullSampler, IntegralOperator, tracing


class ConvertedLayer(nn.Module):
    """Base class of converted layers: `Layer(module)` derives from the module's class, and shares its parameters.

    It shares its hooks, too, which run as before and are removed by the same handles. Attributes, names of parameters
    and `state_dict` are the original's. Operators have no parameters: they use the layer's at each call, so parameters
    may be replaced. The original's `forward` is called where it is the kernel's fast path, where it computes more than
    the integral, and while PyTorch traces or transforms a function.
    """

    def __new__(cls, module: nn.Module | None = None, *args: Any, **options: Any) -> Self:
        """Create an instance of a class that derives from this one and from the module's."""
        return super().__new__(cls if module is None else _derived(cls, type(module)))

    def __init__(self, module: nn.Module) -> None:  # without nn.Module's: the state is the original's
        for name, value in vars(module).items():
            shared = "_hooks" in name or not isinstance(value, dict | list | set)
            self.__dict__[name] = value if shared else copy(value)
        for hook in self._load_state_dict_pre_hooks.values():
            if getattr(hook, "with_module", False):  # PyTorch calls it with the module that it was registered on
                vars(hook)["module"] = ref(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # the class is created at run time
        state: Any = self.__getstate__()  # type: ignore[no-untyped-call]
        [layer, *_, original] = type(self).__bases__
        return _blank, (layer, original), state


class _Children(nn.Module):
    """The children of a container, which its `forward` may iterate over: the operator is none of them."""

    def __iter__(self) -> Iterator[nn.Module | None]:
        return (child for name, child in self._modules.items() if name != "operator")

    def __len__(self) -> int:
        return sum(1 for _ in self)


_CLASSES: dict[tuple[type, type], Any] = {}


def _derived(layer: type[ConvertedLayer], original: type[nn.Module]) -> Any:
    """Return the class of converted layers of an original class: `FieldConv2d` for `Conv2d`."""
    container = (_Children,) if issubclass(original, nn.Sequential | nn.ModuleList) else ()
    bases = layer, *container, original
    made = type(f"Field{original.__name__}", bases, {"__module__": layer.__module__})
    return _CLASSES.setdefault((layer, original), made)


def _blank(layer: type[ConvertedLayer], original: type[nn.Module]) -> nn.Module:
    return nn.Module.__new__(_derived(layer, original))


def takes_fast_path(*operators: nn.Module) -> bool:
    """Whether operators take their kernels' fast path, the original layer: with `auto`, and over all points."""
    return all(
        isinstance(operator, IntegralOperator)
        and isinstance(operator.sampler, FullSampler)
        and (operator.evaluator.takes_fast_paths or tracing())
        for operator in operators
    )


def with_contiguous_gradient(tensor: Tensor) -> Tensor:
    """Return a tensor whose gradient has its own order in memory, as that of the original's functions has.

    On a CPU, PyTorch 2.14's batch norm in evaluation returns wrong gradients for others.
    """
    if tensor.requires_grad and not tracing():
        tensor = tensor.view_as(tensor)
        tensor.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: None if gradient is None else gradient.contiguous()
        )
    return tensor


def remove_parameters(module: nn.Module) -> None:
    """Remove the parameters of a module, a template for `with_parameters`.

    Its linear and recurrent layers become plain attributes, so that `modules()` lists no layer without weights.
    """
    for parent in [*module.modules()]:
        parent._parameters.update(dict.fromkeys(parent._parameters))
        for name, child in [*parent.named_children()]:
            if isinstance(child, nn.Linear | nn.RNNBase):
                parent.__dict__[name] = parent._modules.pop(name)
