"""Modules with other parameters, without touching the modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def with_parameters(module: M, parameters: Mapping[str, Tensor]) -> M:
    """Return a copy of a module, for one call, that has other parameters.

    Unlike `torch.func.functional_call`, which puts them into the module itself for the time of the call, this is safe
    where several threads use the module. Submodules without new parameters are shared with it.

    Args:
        module: left as it is.
        parameters: tensors by their dotted names, as of `named_parameters`; the others stay the module's own. A tied
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
