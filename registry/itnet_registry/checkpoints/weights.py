"""The weights of a checkpoint as the start of another model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from itnet_core import part_names
from itnet_registry.checkpoints.addresses import locate
from itnet_registry.checkpoints.checkpoint import check_hash
from itnet_registry.checkpoints.files import MANIFEST, WEIGHTS
from itnet_registry.checkpoints.installed import hint_for
from itnet_registry.checkpoints.manifest import Manifest
from itnet_registry.errors import CheckpointError, os_errors_as

_SHOWN = 3


def load_weights(
    model: nn.Module, path: str | PathLike[str], *, new: Collection[str] = (), download: bool = False
) -> None:
    """Load the weights of a checkpoint into a model of the same structure, but for its new parts.

    Tensors are matched by name, and each has its counterpart: nothing is left out silently. The values take the type
    and the device of the model's. The configuration of the checkpoint is not compared, so that a model may have other
    supports, samplers or dropout.

    Example:
        >>> from itnet_registry import create_model, load_weights, save_model
        >>> encoder, head = {"name": "field", "channels": 3}, {"name": "classify", "classes": 10}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, head=head), "ten")
        >>> model = create_model("itnet-nano", depth=1, encoder=encoder, head={"name": "classify", "classes": 5})
        >>> load_weights(model, "ten", new=["head"])

    Args:
        model: any module; its weights change only if all fit.
        path: a checkpoint, as `save_model` and `itnet train` write it, an installed or cached one as for `load`, or a
            file in the format safetensors.
        new: paths of the parts that keep their present weights, such as `head` or `trunk.10-11`; see
            `itnet_core.part_names`. Weights of these parts in the checkpoint are ignored.
        download: whether a checkpoint of the hub may be downloaded.

    Raises:
        CheckpointError: the checkpoint is missing or damaged; or tensors are missing, unexpected or of other shapes:
            the error names them.
        ConfigError: the model has no part of the name of one in `new`.
    """
    kept = tuple(f"{name}." for part in new for name in part_names(model, part, "load_weights(new)"))
    with os_errors_as(CheckpointError, path):
        stored = _read(locate(path, download=download))
    stored = {name: tensor for name, tensor in stored.items() if not name.startswith(kept)}
    state = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if isinstance(tensor, Tensor)}
    expected = {name: tensor for name, tensor in state.items() if not name.startswith(kept)}
    tied = {id(tensor) for name, tensor in expected.items() if name in stored}
    absent = [name for name, tensor in expected.items() if name not in stored and id(tensor) not in tied]
    unexpected = [name for name in stored if name not in expected]
    shapes = [name for name in expected if name in stored and stored[name].shape != expected[name].shape]
    if absent or unexpected or shapes:
        resized = [f"{n} {tuple(stored[n].shape)}, in the model {tuple(expected[n].shape)}" for n in shapes]
        found = (("no", absent), ("unexpected", unexpected), ("other shapes:", resized))
        raise CheckpointError(
            str(path),
            found="; ".join(f"{title} {_listed(names)}" for title, names in found if names),
            expected="the tensors of the model",
            hint=_hint([*absent, *unexpected, *shapes]),
        )
    model.load_state_dict(stored, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint; the hash is checked if it has a manifest."""
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file() or file.suffix != ".safetensors":
        inner = next((path / name for name in ("best", "last") if (path / name / WEIGHTS).is_file()), None)
        raise CheckpointError(
            str(path),
            found=f"no {WEIGHTS} in it" if path.is_dir() else "another file" if path.exists() else "nothing",
            expected=f"a directory with {WEIGHTS}, or a file whose name ends in .safetensors",
            hint=f"Did you mean {inner}?" if inner else "" if path.exists() else hint_for(path.as_posix()),
        )
    if path.is_dir() and (path / MANIFEST).is_file():
        check_hash(file, Manifest.read(path / MANIFEST))
    try:
        return load_file(file)
    except SafetensorError as error:
        raise CheckpointError(str(file), found=str(error), expected="a file in the format safetensors") from error


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _hint(names: Sequence[str]) -> str:
    """Return how to fix a model whose tensors of these names differ."""
    parts = {name.partition(".")[0] for name in names}
    new = [part for part in ("encoder", "head") if f"{part}s" in parts]
    if parts <= {"encoders", "heads"}:
        fields = ", ".join(f"{part}: new" for part in new)
        return f"For new weights there, write {fields} in train.init, or load_weights(…, new={new})."
    return f"Configure the model as the checkpoint's; its configuration is in its {MANIFEST}."
