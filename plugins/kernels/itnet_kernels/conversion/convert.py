"""Conversion of PyTorch's and transformers' layers into integral operators with the same weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeGuard

from torch import nn

from itnet_kernels.conversion.attention import FieldMultiheadAttention
from itnet_kernels.conversion.converted import ConvertedLayer, takes_fast_path
from itnet_kernels.conversion.gated_scan import GatedScanLayer
from itnet_kernels.conversion.grid import FUNCTIONS, CallingLayer, GridLayer
from itnet_kernels.conversion.interface import FieldAttention, uses_interface
from itnet_kernels.conversion.mixing import Mixing, WrittenOut, count_mixing
from itnet_kernels.conversion.recurrent import FieldCell, FieldRecurrent
from itnet_kernels.conversion.scans import ScanningLayer, scans
from itnet_kernels.conversion.written import WrittenAttention
from itnet_kernels.errors import ConversionError

Converter = Callable[[Any], nn.Module]

CONVERTERS: dict[str, Converter] = {
    "torch.nn.modules.conv._ConvNd": GridLayer,
    "torch.nn.modules.pooling._AvgPoolNd": GridLayer,
    "torch.nn.modules.pooling._AdaptiveAvgPoolNd": GridLayer,
    "torch.nn.modules.pooling._LPPoolNd": GridLayer,
    "torch.nn.modules.upsampling.Upsample": GridLayer,
    "torch.nn.modules.activation.MultiheadAttention": FieldMultiheadAttention,
    "torch.nn.modules.rnn.GRU": FieldRecurrent,
    "torch.nn.modules.rnn.LSTM": FieldRecurrent,
    "torch.nn.modules.rnn.RNN": FieldRecurrent,
    "torch.nn.modules.rnn.GRUCell": FieldCell,
    "torch.nn.modules.rnn.LSTMCell": FieldCell,
    "torch.nn.modules.rnn.RNNCell": FieldCell,
    "transformers.models.fnet.modeling_fnet.FNetBasicFourierTransform": GridLayer,
    "transformers.models.inkling.modeling_inkling.InklingShortConvolution": GridLayer,
    "transformers.models.inkling2.modeling_inkling2.Inkling2ShortConvolution": GridLayer,
    "transformers.models.recurrent_gemma.modeling_recurrent_gemma.RecurrentGemmaRglru": GatedScanLayer,
}
"""Converted layers by the name of the original class, so that transformers need not be imported.

Subclasses of PyTorch's layers are converted, too, if they keep `forward`, or if the converter is `GridLayer`.
"""

NO_INTEGRALS: dict[str, str] = {
    "torch.nn.modules.pooling._MaxPoolNd": "a maximum is no integral",
    "torch.nn.modules.pooling._AdaptiveMaxPoolNd": "a maximum is no integral",
}
"""Reasons to leave layers, by the name of a base class."""

ATTENTION: tuple[Converter, ...] = FieldMultiheadAttention, FieldAttention


@dataclass
class ConversionReport:
    """Report of `convert_model`.

    Example:
        >>> model = nn.Sequential(nn.Conv1d(3, 8, 3), nn.ReLU(), nn.BatchNorm1d(8))
        >>> report = convert_model(model, example=torch.randn(1, 3, 8))
        >>> report.converted, report.left, report.pointwise
        ({'0': 'Conv1d'}, {}, {'BatchNorm1d': 1})

    Attributes:
        converted: the class of each converted module, by its path.
        left: the reason why each other module was left as it is, by its path, or what a converted one computes outside
            of its operator; "" is the model itself. Without an example, these are modules of known kinds that mix
            points or may do so; with one, all modules that mixed points in its run.
        pointwise: the number of other modules with parameters, by class: linear maps, norms, …
        counted: whether an example was run to determine `left`.
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
            lines.append(
                "  other modules that mix points are not counted; give convert_model an example of the model's inputs"
            )
        return "\n".join(lines)


def convert(module: nn.Module, converters: Mapping[type[nn.Module], Converter] | None = None) -> nn.Module:
    """Convert a layer into one that computes the same by integral operators, with the same weights and `forward`.

    The result is a layer of the module's own class, with its attributes and the keys of its `state_dict`.

    Example:
        >>> layer, image = nn.Conv2d(3, 4, 3, padding=1), torch.randn(1, 3, 8, 8)
        >>> torch.equal(convert(layer)(image), layer(image))
        True

    Args:
        module: a convolution, a transposed one, an average pool, `nn.Upsample`, `nn.MultiheadAttention`, `nn.LSTM`,
            `nn.GRU`, `nn.RNN` or a cell of theirs; a layer of transformers that scans the past, as in Mamba and RWKV, a
            mixer of its FNet, or an attention layer that calls a function of its `AttentionInterface`. Its parameters
            are shared. A converted layer is returned as it is.
        converters: functions that convert modules of further classes.

    Raises:
        ConversionError: the module is none of these (a subclass of an attention or a recurrence has another `forward`),
            or has no exact counterpart; the message says why.
    """
    if isinstance(module, ConvertedLayer):
        return module
    converter = _converter(module, converters or {})
    if converter is None:
        raise ConversionError(
            "convert",
            found=_reason(type(module)) or _name(type(module)),
            expected="a convolution, average pool, attention or recurrence of PyTorch, or a mixer of transformers",
            hint="Give `converters` a function for its class, or call `convert_model` for the modules in it.",
        )
    _refuse_replaced_forward(module)
    converted, shared = converter(module), {*module.modules()}
    for part in converted.modules():
        if part not in shared:
            part.training = module.training
    return converted


def convert_model(
    model: nn.Module, converters: Mapping[type[nn.Module], Converter] | None = None, example: Any = None
) -> ConversionReport:
    """Convert all modules inside a model that have an exact counterpart, in place.

    Attention that a layer writes out, or computes by `scaled_dot_product_attention`, and functions that it calls, such
    as `avg_pool2d`, are found in a run, so they need an `example`.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2))
        >>> print(convert_model(model, example=torch.randn(1, 3, 32, 32)))
        1 converted, 1 left
          0: Conv2d
          1: left: MaxPool2d: a maximum is no integral

    Args:
        model: the model; it is not replaced itself.
        converters: as for `convert`.
        example: inputs of the model: a tuple of arguments, a mapping of keyword arguments, or the one argument. The
            model runs on it once, in evaluation mode. Its attention is found, and modules that mix points outside of
            converted ones are reported as left. Without an example, only modules of known kinds are.

    Returns:
        The converted modules, and those that were left.
    """
    mixing = Mixing() if example is None else count_mixing(model, example)
    report = ConversionReport(counted=example is not None)
    _convert_children(model, "", converters or {}, _written(model, mixing), report, {})
    _report_left(model, mixing, report)
    return report


def _written(model: nn.Module, mixing: Mixing) -> dict[nn.Module, Converter]:
    """Return converters of modules that write attention out, or call functions that an operator computes."""
    calling: dict[nn.Module, Converter] = {}
    for path, calls in mixing.calls.items():
        if path and (names := calls.keys() & FUNCTIONS.keys()) and _reason(type(model.get_submodule(path))) is None:
            calling[model.get_submodule(path)] = partial(CallingLayer, functions=names)
    attention = _innermost(model, mixing)
    return calling | {module: partial(WrittenAttention, found=found) for module, found in attention.items()}


def _innermost(model: nn.Module, mixing: Mixing) -> dict[nn.Module, WrittenOut]:
    """Return the modules that write attention out, without those that call other modules with attention."""
    written = {model.get_submodule(path): found for path, found in mixing.attention.items() if path}
    called = {model.get_submodule(path) for path in mixing.calls}
    attention = {module for module in called if _converter(module, {}) in ATTENTION} | {*written}
    return {module: found for module, found in written.items() if len(attention & {*module.modules()}) == 1}


def _report_left(model: nn.Module, mixing: Mixing, report: ConversionReport) -> None:
    """Report modules that mixed points in a run, outside of converted modules and of those reported already."""
    layers = {path: layer for path, layer in model.named_modules() if isinstance(layer, ConvertedLayer)}
    written = {path for path, layer in layers.items() if isinstance(layer, WrittenAttention)} & {*report.converted}
    calling = {path for path, layer in layers.items() if isinstance(layer, CallingLayer) and _is_open(layer)}
    settled = ({*report.converted, *layers} - written - calling) | {*report.left}
    for path in written:
        for caller, calls in mixing.attention[path].calls.items():
            mixing.calls[caller] -= calls
    for path, calls in mixing.calls.items():
        names, module = path.split("."), model.get_submodule(path)
        above = {".".join(names[:end]) for end in range(len(names) + 1)}
        if _is_open(module) and takes_fast_path(module.operator):  # other functions of its forward
            calls, above = Counter({name: calls[name] for name in calls if name not in FUNCTIONS}), above - {path}
        if calls and settled.isdisjoint(above):
            functions = ", ".join(f"{name} ({count})" for name, count in calls.items())
            name = report.converted.get(path, type(module).__name__)
            report.left[path] = f"{name} calls {functions}, outside of what was converted"


def _is_open(layer: nn.Module) -> TypeGuard[GridLayer]:
    """Whether functions in a layer's `forward` may mix points outside of its operator; a scan is all that mixes."""
    return isinstance(layer, GridLayer) and not isinstance(layer, ScanningLayer)


def _convert_children(
    parent: nn.Module,
    path: str,
    converters: Mapping[type[nn.Module], Converter],
    written: Mapping[nn.Module, Converter],
    report: ConversionReport,
    done: dict[int, Any],
) -> None:
    children = [(name, child) for name, child in parent._modules.items() if child is not None]
    for name, child in children:  # `named_children` lists a shared module once
        child_path = f"{path}.{name}" if path else name
        if isinstance(child, ConvertedLayer):
            continue
        own = converters
        if child in written and _converter(child, converters) is None:
            own = {type(child): written[child]}
        if _converter(child, own) is not None:
            try:
                if id(child) not in done:  # a shared module is converted once
                    done[id(child)] = child, convert(child, own)
                setattr(parent, name, done[id(child)][1])
                report.converted[child_path] = type(child).__name__
            except ConversionError as error:
                report.left[child_path] = str(error)
            if own is not converters:  # the original's `forward` runs, with the modules in it
                _convert_children(getattr(parent, name), child_path, converters, written, report, done)
        elif (reason := _reason(type(child))) is not None:
            report.left[child_path] = reason
        else:
            if any(True for _ in child.parameters(recurse=False)):
                report.pointwise[type(child).__name__] = report.pointwise.get(type(child).__name__, 0) + 1
            _convert_children(child, child_path, converters, written, report, done)
    if isinstance(parent, nn.TransformerEncoder):  # its path of nested tensors reads the original layers
        parent.use_nested_tensor = False


def _refuse_replaced_forward(module: nn.Module) -> None:
    """Refuse a `forward` that was set on the module itself, which the class of a converted layer could not replace."""
    if "forward" in vars(module):
        name = type(module).__name__
        raise ConversionError(
            f"{name}.forward",
            found="a function set on the module itself",
            expected=f"the forward of {name}",
            hint="Restore it (with accelerate: remove_hook_from_module), convert the module, and set it afterwards.",
        )


def _converter(module: nn.Module, converters: Mapping[type[nn.Module], Converter]) -> Converter | None:
    cls = type(module)
    if cls in converters or uses_interface(cls):
        return converters.get(cls, FieldAttention)
    if scans(cls):
        return ScanningLayer
    for base in cls.__mro__:
        found = CONVERTERS.get(_name(base))
        inherits = base.__module__.startswith("torch.") and cls.forward is getattr(base, "forward", None)
        if found is not None and (found is GridLayer or base is cls or inherits):
            return found
    return None


def _reason(cls: type[nn.Module]) -> str | None:
    """Return why a layer of a known kind is left, or `None`."""
    for base in cls.__mro__:
        if _name(base) in NO_INTEGRALS:
            return f"{cls.__name__}: {NO_INTEGRALS[_name(base)]}"
        if _name(base) in CONVERTERS or (issubclass(base, nn.Module) and uses_interface(base)):
            return f"{cls.__name__} derives from {base.__name__}, but may compute something else"
    return None


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
