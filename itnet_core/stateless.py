"""Modules with other parameters, without touching the modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def with_parameters(module: M, parameters: Mapping[str, Tensor]) -> M:
    """Return a copy of a module, for one call, that has other parameters.

    Unlike `torch.func.functional_call`, which puts them into the module itself for the time of the call, this is safe
    where several threads use the module. Submodules without new parameters are shared with it.

    Args:
        module: left as it is.
        parameters: tensors by their dotted names, as of `named_parameters`; the others stay the module's own.
    """
    twin: M = module._replicate_for_data_parallel()  # type: ignore[no-untyped-call]  # shallow, without parameters
    twin._parameters = dict(module._parameters)
    below: dict[str, dict[str, Tensor]] = {}
    for name, tensor in parameters.items():
        child, dot, rest = name.partition(".")
        if dot:
            below.setdefault(child, {})[rest] = tensor
        else:
            twin._parameters.pop(name, None)
            setattr(twin, name, tensor)
    for child, tensors in below.items():
        twin.__dict__.pop(child, None)
        setattr(twin, child, with_parameters(getattr(module, child), tensors))
    return twin
