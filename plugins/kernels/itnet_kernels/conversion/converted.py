"""What converted layers have in common: they are layers of the original's own class."""

from __future__ import annotations

from copy import copy
from typing import Any, Self

from torch import nn

from itnet_core import FullSampler, IntegralOperator
from itnet_core.operator.transforms import tracing


class ConvertedLayer(nn.Module):
    """Base of converted layers: `Layer(module)` derives from the module's class, and shares its parameters.

    Attributes, names of parameters and `state_dict` are the original's. Operators own no parameter: they get the
    layer's at each call, so that whatever replaces these is seen. The original's `forward` is called where it is the
    kernel's fast path, where it computes more than the integral, and while torch traces or transforms a function.
    """

    def __new__(cls, module: nn.Module | None = None, *args: Any, **options: Any) -> Self:
        """Return a layer of a class that derives from the module's, too."""
        return super().__new__(cls if module is None else _derived(cls, type(module)))

    def __init__(self, module: nn.Module) -> None:  # not nn.Module's: the state is the original's
        containers = (dict, list, set)
        state = {name: copy(value) if isinstance(value, containers) else value for name, value in vars(module).items()}
        self.__dict__.update(state)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # the class is made while the program runs
        state: Any = self.__getstate__()  # type: ignore[no-untyped-call]
        return _blank, type(self).__bases__, state


_CLASSES: dict[tuple[type, type], Any] = {}


def _derived(layer: type[ConvertedLayer], original: type[nn.Module]) -> Any:
    """Return the class of converted layers of an original class: `FieldConv2d` for `Conv2d`."""
    made = type(f"Field{original.__name__}", (layer, original), {"__module__": layer.__module__})
    return _CLASSES.setdefault((layer, original), made)


def _blank(layer: type[ConvertedLayer], original: type[nn.Module]) -> nn.Module:
    return nn.Module.__new__(_derived(layer, original))


def takes_fast_path(*operators: nn.Module) -> bool:
    """Whether operators of kernels whose fast path is the original layer take it: by `auto`, and over all points."""
    return all(
        isinstance(each, IntegralOperator)
        and isinstance(each.sampler, FullSampler)
        and (each.evaluator.takes_fast_paths or tracing())
        for each in operators
    )


def remove_parameters(module: nn.Module) -> None:
    """Take a module's parameters away: it is a pattern, to be given others by `with_parameters`.

    PyTorch's layers in it stay attributes, but no submodules, so that `modules()` lists none that has no weights.
    """
    for parent in [*module.modules()]:
        parent._parameters.update(dict.fromkeys(parent._parameters))
        for name, child in [*parent.named_children()]:
            if isinstance(child, nn.Linear | nn.RNNBase):
                parent.__dict__[name] = parent._modules.pop(name)
