"""Unlocking of trained operators: add an integral whose gate starts at 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from itnet_core import IntegralOperator, ITNetModel
from itnet_kernels.algebra.masked import MaskedKernel
from itnet_kernels.algebra.scaled import ScaledKernel
from itnet_kernels.algebra.sum import SumKernel
from itnet_kernels.conversion.attention import FieldMultiheadAttention
from itnet_kernels.conversion.converted import ConvertedLayer
from itnet_kernels.conversion.heads import HeadsAttention
from itnet_kernels.errors import ConversionError
from itnet_registry import component, create, replace_operator


def unlock(model: nn.Module, kernel: str | Mapping[str, Any] = "itnet-core/mlp") -> list[str]:
    """Add an integral, with a gate that starts at 0, to the operators of a model, in place.

    The model's outputs stay the same at the start, and its parameters keep their values. In training, the gate opens,
    and the new kernel learns what the old one cannot express: attention + 0 · MLP. Points of converted layers lie at 0,
    1, 2, … on a line, so an MLP added to them has `position_dim` 1, and by default as many heads as the attention.

    Example:
        >>> from itnet_kernels import convert
        >>> layer = convert(nn.MultiheadAttention(8, 2, batch_first=True))
        >>> x = torch.randn(1, 5, 8)
        >>> before, _ = layer(x, x, x)
        >>> unlock(layer)
        ['operator']
        >>> torch.equal(layer(x, x, x)[0], before)
        True

    Args:
        model: an `ITNetModel`, whose configuration changes too; a model that `convert_model` converted, where attention
            is unlocked, and other converted layers stay; or any module with operators.
        kernel: the kernel to add: a name, or a name with options.

    Returns:
        The paths of the operators.

    Raises:
        ConversionError: the model has no operator that can be unlocked.
        ITNetError: the kernel cannot be built.
    """
    options = {"name": kernel} if isinstance(kernel, str) else dict(kernel)
    layers = {path: layer for path, layer in model.named_modules() if isinstance(layer, ConvertedLayer)}
    attention = {f"{path}.operator".lstrip("."): layer for path, layer in layers.items() if _is_attention(layer)}
    others = tuple(f"{path}.".lstrip(".") for path, layer in layers.items() if not _is_attention(layer))
    operators = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, IntegralOperator) and not path.startswith(others)
    }
    if not operators or "" in others:
        raise ConversionError(
            "unlock",
            found=type(model).__name__,
            expected="a model with integral operators, or with converted attention",
        )
    if isinstance(model, ITNetModel) and model.config is not None:
        scaled = {"name": "itnet-kernels/scaled", "kernel": options}
        for number, entry in enumerate(model.config["trunk"]):
            present = entry["kernel"]
            kernels = present["kernels"] if present["name"] == "itnet-kernels/sum" else [present]
            total = {"name": "itnet-kernels/sum", "kernels": [*kernels, scaled]}
            replace_operator(model, kernel=total, blocks=[number])
        return list(operators)
    for path, operator in operators.items():
        _add(operator, options, model, converted=path in attention)
    return list(operators)


def _is_attention(layer: ConvertedLayer) -> bool:
    return isinstance(layer, FieldMultiheadAttention | HeadsAttention)


def _add(operator: IntegralOperator, options: Mapping[str, Any], model: nn.Module, *, converted: bool) -> None:
    """Add a scaled kernel to an operator; its present kernel and maps stay the same modules."""
    name, options = options["name"], {key: value for key, value in options.items() if key != "name"}
    if converted:
        fields = component("kernel", name).load().Config.model_fields
        defaults = {"position_dim": 1, "heads": operator.kernel.summands[0].heads}
        options = {key: value for key, value in defaults.items() if key in fields} | options
    added: Any = create("kernel", name, dim=operator.dim, **options)
    scaled = ScaledKernel.of(MaskedKernel(added) if converted else added)
    head_dim = scaled.value_dim(operator.dim)
    parameter = next(model.parameters())
    maps = scaled.value_map(operator.dim, head_dim), scaled.output_map(head_dim, operator.out_dim)
    for module in (scaled, *maps):
        module.to(parameter).train(operator.training)
    _, values, outputs = zip(*operator.summands, strict=True)
    operator.kernel = SumKernel.of(operator.kernel, scaled)
    operator.value, operator.output = nn.ModuleList([*values, maps[0]]), nn.ModuleList([*outputs, maps[1]])
