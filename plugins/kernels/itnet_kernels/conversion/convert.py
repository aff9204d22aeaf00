"""Conversion: modules of PyTorch and transformers as integral operators with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from itnet_kernels.conversion.attention import FieldBertAttention, FieldMultiheadAttention
from itnet_kernels.conversion.converted import ConvertedLayer
from itnet_kernels.conversion.convolution import GridConvolution
from itnet_kernels.conversion.mamba import FieldMamba
from itnet_kernels.conversion.mixing import count_mixing
from itnet_kernels.conversion.recurrent import FieldRecurrent
from itnet_kernels.errors import ConversionError

Converter = Callable[[Any], nn.Module]

CONVERTERS: dict[str, Converter] = {
    "torch.nn.modules.conv.Conv1d": GridConvolution,
    "torch.nn.modules.conv.Conv2d": GridConvolution,
    "torch.nn.modules.conv.Conv3d": GridConvolution,
    "torch.nn.modules.activation.MultiheadAttention": FieldMultiheadAttention,
    "torch.nn.modules.rnn.GRU": FieldRecurrent,
    "torch.nn.modules.rnn.LSTM": FieldRecurrent,
    "transformers.models.bert.modeling_bert.BertSelfAttention": FieldBertAttention,
    "transformers.models.bert.modeling_bert.BertCrossAttention": FieldBertAttention,
    "transformers.models.mamba.modeling_mamba.MambaMixer": FieldMamba,
    "transformers.models.mamba2.modeling_mamba2.Mamba2Mixer": FieldMamba,
}
"""What is converted, by the class's name, so that transformers is not imported for it."""


@dataclass
class Report:
    """What `convert_model` did.

    Attributes:
        converted: the class's name of each module that was converted, by its path.
        left: why each module that mixes points, or may, was left as it was, by its path; "" is the model itself.
            Without an example these are modules of kinds that are known; with one, all that mixed points in its run.
        pointwise: how many modules with parameters were left because they are none of these: linear maps, norms, …
        counted: whether `left` was found out by a run of an example.
    """

    converted: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    pointwise: dict[str, int] = field(default_factory=dict)
    counted: bool = False

    def __str__(self) -> str:
        left = f"{len(self.left)} left" if self.left or self.counted else "none known to be left"
        lines = [f"{len(self.converted)} converted, {left}"]
        lines += [f"  {path}: {name}" for path, name in self.converted.items()]
        lines += [f"  {path or 'the model itself'}: left: {reason}" for path, reason in self.left.items()]
        if not self.counted:
            lines.append("  not counted: what else mixes points; give convert_model an example of the model's inputs")
        return "\n".join(lines)


def convert(module: nn.Module, converters: Mapping[type[nn.Module], Converter] | None = None) -> nn.Module:
    """Return a module that computes the same from the same weights by integral operators, with the same `forward`.

    It is a layer of the module's own class, with its attributes and the keys of its `state_dict`.

    Args:
        module: an `nn.Conv1d`, `nn.Conv2d`, `nn.Conv3d`, `nn.MultiheadAttention`, `nn.LSTM` or `nn.GRU`, or one of
            transformers' BERT attention layers or Mamba mixers. Its parameters are shared. What is converted already is
            returned as it is.
        converters: for further classes, what makes a converted module of one of theirs.

    Raises:
        ConversionError: it is none of these (a subclass may do anything else in its `forward`), or it cannot be
            converted exactly; the message names what stands in the way.
    """
    if isinstance(module, ConvertedLayer):
        return module
    found = _converter(module, converters or {})
    if found is None:
        raise ConversionError(
            "convert",
            found=_name(type(module)),
            expected=f"one of {', '.join(sorted(name.rpartition('.')[2] for name in CONVERTERS))}",
            hint="Give `converters` a function for its class, or call `convert_model` for the modules in it.",
        )
    _refuse_hooks(module)
    converted, shared = found(module), {*module.modules()}
    for each in converted.modules():
        if each not in shared:
            each.training = module.training
    return converted


def convert_model(
    model: nn.Module, converters: Mapping[type[nn.Module], Converter] | None = None, example: Any = None
) -> Report:
    """Convert every module inside a model that can be converted, in place.

    Args:
        model: the model; itself it stays what it is.
        converters: as for `convert`.
        example: inputs of the model: a tuple of arguments, a mapping of keyword arguments, or the one argument. The
            converted model is run on it once, in evaluation, and what mixes points in the run outside of converted
            modules is reported as left. Without it only modules of known kinds are.

    Returns:
        What was converted and what was left.
    """
    report = Report()
    _convert_children(model, "", converters or {}, report, {})
    if example is not None:
        _count(model, example, report)
    return report


def _count(model: nn.Module, example: Any, report: Report) -> None:
    """Add to a report what mixed points in a run, outside of converted modules and of those that are left already."""
    report.counted = True
    settled = {*report.converted, *report.left}
    settled |= {path for path, module in model.named_modules() if isinstance(module, ConvertedLayer)}
    for path, calls in count_mixing(model, example).items():
        names = path.split(".")
        if settled.isdisjoint(".".join(names[:end]) for end in range(len(names) + 1)):
            caller, which = model.get_submodule(path), ", ".join(f"{name} ({count})" for name, count in calls.items())
            report.left[path] = f"{type(caller).__name__} calls {which}, outside of what was converted"


def _convert_children(
    parent: nn.Module, path: str, converters: Mapping[type[nn.Module], Converter], report: Report, done: dict[int, Any]
) -> None:
    children = [(name, child) for name, child in parent._modules.items() if child is not None]
    for name, child in children:  # `named_children` would name one that stands in two places once
        place = f"{path}.{name}" if path else name
        if isinstance(child, ConvertedLayer):
            continue
        found = _converter(child, converters)
        if found is not None:
            try:
                if id(child) not in done:  # a module that stands in two places is converted once
                    done[id(child)] = child, convert(child, converters)
            except ConversionError as error:
                report.left[place] = str(error)
            else:
                setattr(parent, name, done[id(child)][1])
                report.converted[place] = type(child).__name__
        elif (base := _convertible_base(type(child))) is not None:
            report.left[place] = f"{type(child).__name__} derives from {base}, but its forward may do anything else"
        else:
            if any(True for _ in child.parameters(recurse=False)):
                report.pointwise[type(child).__name__] = report.pointwise.get(type(child).__name__, 0) + 1
            _convert_children(child, place, converters, report, done)
    if isinstance(parent, nn.TransformerEncoder):  # its path of nested tensors looks into layers that are there no more
        parent.use_nested_tensor = False


def _refuse_hooks(module: nn.Module) -> None:
    """Hooks may change anything; pruning, and the older weight and spectral norms, make the weights by one."""
    kinds = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    hooks = [hook for kind in kinds for hook in getattr(module, kind).values()]
    if hooks:
        names = ", ".join(getattr(hook, "__qualname__", type(hook).__name__) for hook in hooks)
        raise ConversionError(
            type(module).__name__,
            found=f"hooks: {names}",
            expected="a module without hooks",
            hint="Remove them: prune.remove, remove_weight_norm, or the handle's own remove().",
        )


def _converter(module: nn.Module, converters: Mapping[type[nn.Module], Converter]) -> Converter | None:
    return converters.get(type(module)) or CONVERTERS.get(_name(type(module)))


def _convertible_base(cls: type[nn.Module]) -> str | None:
    """Return the name of a convertible class that `cls` derives from, or of a kin of one that never is converted."""
    kin = (
        *CONVERTERS,
        "torch.nn.modules.conv._ConvNd",
        "torch.nn.modules.rnn.RNNBase",
        "torch.nn.modules.rnn.RNNCellBase",
    )
    return next((base.__name__ for base in cls.__mro__ if _name(base) in kin), None)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
