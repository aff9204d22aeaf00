"""Modules with other parameters, for one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def with_parameters(module: M, parameters: Mapping[str, Tensor]) -> M:
    """Return a shallow copy of a module with other parameters.

    `torch.func.functional_call` swaps the parameters of the module itself during the call; a copy is safe while other
    threads use the module. Submodules without new parameters are shared.

    Args:
        module: the module; it stays unchanged.
        parameters: tensors by their dotted names, as in `named_parameters`; all others stay the module's own. A tied
            parameter has several names.
    """
    below: dict[str, dict[str, Tensor]] = {}
    own: dict[str, Any] = {}
    for name, tensor in parameters.items():
        child, dot, rest = name.partition(".")
        if dot:
            below.setdefault(child, {})[rest] = tensor
        else:
            own[name] = tensor
    twin: M = object.__new__(type(module))
    parts = {"_parameters": {**module._parameters, **own}, "_modules": {**module._modules}}
    twin.__dict__.update(vars(module) | parts)
    if isinstance(twin, nn.RNNBase):  # which holds its weights in a list, too
        twin._flat_weights = [getattr(twin, name) for name in twin._flat_weights_names]
    for child, tensors in below.items():
        twin.__dict__.pop(child, None)
        twin._modules[child] = with_parameters(getattr(module, child), tensors)
    return twin
