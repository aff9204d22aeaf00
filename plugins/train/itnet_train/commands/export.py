"""Export a checkpoint as a graph, for ONNX Runtime or for PyTorch without ITNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import TreeSpec, keystr, tree_flatten_with_path, tree_unflatten

from itnet_core import ConfigError, Encoder, ITNetError, ITNetModel
from itnet_registry import load_model, use_sampler
from itnet_registry.errors import one_line

Format = Literal["onnx", "pt2"]


def export(
    checkpoint: str | PathLike[str],
    file_format: Format,
    output: str | PathLike[str],
    *,
    modality: str | None = None,
    sampler: str | Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a checkpoint's model of one modality as a graph, with a dynamic batch and dynamic sizes of its samples.

    Example:
        >>> from itnet_registry import create_model, save_model
        >>> encoder, head = {"name": "field", "channels": 3}, {"name": "classify", "classes": 10}
        >>> save_model(create_model(width=8, depth=1, encoder=encoder, head=head, kernel="mlp"), "model")
        >>> export("model", "pt2", "model.pt2")["prediction"]  # of any batch
        {'dtype': 'float32', 'shape': ['s...', 10]}

    Args:
        checkpoint: a checkpoint directory, such as `best` in a run directory, or an address as for
            `itnet_registry.load`.
        file_format: `onnx`, or `pt2`, which `torch.export.load` reads.
        output: the file to write; an existing one is replaced.
        modality: the modality to export, for a model of several modalities.
        sampler: a sampler to use instead of the checkpoint's; see `itnet_registry.use_sampler`.

    Returns:
        The file, and dtype and shape of each input and of the prediction; dynamic sizes are names.

    Raises:
        ITNetError: the checkpoint cannot be used, the model cannot be exported, or a library is missing.
    """
    if file_format == "onnx":
        _require_onnx()
    model = load_model(checkpoint)
    if sampler is not None:
        use_sampler(model, sampler)
    program, names = export_program(model, modality)
    output = Path(output)
    if file_format == "pt2":
        torch.export.save(program, output)
    else:
        onnx_program(program, names).save(output, external_data=False)
    inputs = _tensors(program, program.graph_signature.user_inputs)
    [prediction] = _tensors(program, program.graph_signature.user_outputs)
    described = {name: _describe(tensor) for name, tensor in zip(names, inputs, strict=True)}
    return {"output": str(output), "inputs": described, "prediction": _describe(prediction)}


def export_program(model: ITNetModel, modality: str | None = None) -> tuple[ExportedProgram, list[str]]:
    """Export a model of one modality: from the tensors of its encoder (`Encoder.tensors`) to its prediction.

    Every size that the model does not fix is dynamic. Returns the graph and the names of its inputs, in their order.

    Raises:
        ConfigError: the encoder's inputs are not tensors, `torch.export` does not support the model, or its graph
            would have a fixed batch.
    """
    names = list(model.encoders) if modality is None else [modality]
    if len(names) != 1 or names[0] not in model.encoders:
        raise ConfigError("--modality", found=repr(modality), expected=f"one of {', '.join(model.encoders)}")
    [name] = names
    encoder = cast(Encoder, model.encoders[name])
    try:
        batch = encoder.tensors(encoder.example())
    except NotImplementedError as error:
        raise ConfigError(f"model.encoders.{name}", found=str(error), expected="an encoder with an example") from error
    leaves, spec = tree_flatten_with_path(batch)
    tensors = {keystr(path).strip("[].'") or "inputs": leaf for path, leaf in leaves}
    place = f"model.encoders.{name}"
    if not all(isinstance(leaf, Tensor) for leaf in tensors.values()):
        found = f"{type(batch).__name__} with inputs that are not tensors"
        raise ConfigError(place, found=found, expected="an encoder whose `tensors` returns tensors alone")
    shapes = tuple(dict.fromkeys(range(tensor.ndim), Dim.AUTO) for tensor in tensors.values())
    try:
        with torch.no_grad():
            module = _FromTensors(model.eval(), name, spec)
            program = torch.export.export(
                module, (*tensors.values(),), dynamic_shapes={"tensors": shapes}, strict=False
            )
    except ITNetError:
        raise
    except Exception as error:  # of PyTorch, of many types
        raise _not_exported(place, error, "a model that torch.export supports") from error
    [prediction] = _tensors(program, program.graph_signature.user_outputs)
    if (batch_size := str(prediction.shape[0])).isdecimal():
        found = f"a graph for batches of {batch_size} samples alone"
        hint = "Some part of the model read the batch as a number, as `len(tensor)` does: use `tensor.shape[0]`."
        raise ConfigError(place, found=found, expected="a graph for any batch", hint=hint)
    return program, list(tensors)


def onnx_program(program: ExportedProgram, names: list[str]) -> torch.onnx.ONNXProgram:
    """Convert a graph and the names of its inputs, from `export_program`, to ONNX.

    Raises:
        ConfigError: ONNX does not support an operation of the graph.
    """
    # Unoptimized: onnxscript takes an addend of 1e-8, as in log(x + 1e-8), for 0. Runtimes optimize by themselves.
    try:
        onnx = torch.onnx.export(
            program, dynamo=True, optimize=False, verbose=False, input_names=names, output_names=["prediction"]
        )
    except Exception as error:  # of PyTorch and onnxscript, of many types
        raise _not_exported("--format onnx", error.__cause__ or error, "operations that ONNX supports") from error
    assert onnx is not None
    return onnx


def _not_exported(place: str, error: BaseException, expected: str) -> ConfigError:
    found = f"{type(error).__name__}: {one_line(error):.300}"
    return ConfigError(place, found=found, expected=expected, hint="See docs/guides/export.md.")


class _FromTensors(nn.Module):
    """The model as a function of tensors."""

    def __init__(self, model: ITNetModel, modality: str, spec: TreeSpec) -> None:
        super().__init__()
        self.model, self.modality, self.spec = model, modality, spec

    def forward(self, *tensors: Tensor) -> Tensor:
        prediction: Tensor = self.model(tree_unflatten(tensors, self.spec), self.modality)
        return prediction


def _tensors(program: ExportedProgram, names: Sequence[object]) -> list[Tensor]:
    """Return the traced tensors of a graph's inputs or outputs."""
    tensors = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [tensors[str(name)] for name in names]


def _describe(tensor: Tensor) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in tensor.shape]
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": shape}


def _require_onnx() -> None:
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        hint = "Install them: python -m pip install 'itnet-train[onnx]'"
        raise ConfigError("--format onnx", found=f"no {' and no '.join(missing)}", expected="both", hint=hint)
