"""Read files of tensors, as neuraloperator distributes its data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from itnet_core import DataError
from itnet_tasks import open_data


def read_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """Read the tensors of a file that `torch.save` wrote; no code in it is run.

    Example:
        >>> torch.save({"x": torch.zeros(3, 2)}, "flows.pt")
        >>> read_tensors(Path("flows.pt"), {"x": (-1, 2)})[0].shape
        torch.Size([3, 2])

    Args:
        path: the file.
        shapes: the shape of each tensor by its name; −1 stands for any size but 0.

    Raises:
        DataError: the file is missing, damaged or not a file of such tensors.
    """
    described = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    expected = f"a file of the tensors {described}"
    hint = "python examples/fetch_data.py fetches the data set."
    with open_data(path, expected, hint) as file:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file makes the unpickler raise anything
            found = f"a damaged or unreadable file ({type(error).__name__})"
            raise DataError(str(path), found=found, expected=expected, hint=hint) from error
    tensors = [content.get(name) if isinstance(content, dict) else None for name in shapes]
    for (name, shape), tensor in zip(shapes.items(), tensors, strict=True):
        if not isinstance(tensor, Tensor) or not _fits(tensor, shape):
            found = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else "no such tensor"
            raise DataError(f"{path}: {name}", found=found, expected=f"a tensor of shape {shape}", hint=hint)
    whole = [tensor.float() for tensor in tensors if tensor is not None]
    if not all(tensor.isfinite().all() for tensor in whole):
        raise DataError(str(path), found="numbers that are NaN or infinite", expected="finite numbers", hint=hint)
    return whole


def _fits(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    sizes = tuple(tensor.shape)
    return len(sizes) == len(shape) and all(a == b or (b == -1 and a > 0) for a, b in zip(sizes, shape, strict=True))
