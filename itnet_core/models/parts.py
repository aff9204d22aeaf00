"""Parts of a model by their paths, and freezing of parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from torch import nn

from itnet_core.plugin.errors import ConfigError, shown

_SHORT = (
    (re.compile(r"^encoder(?=\.|$)"), "encoders"),
    (re.compile(r"^head(?=\.|$)"), "heads"),
    (re.compile(r"^trunk\.(?=\d)"), "trunk.blocks."),
)
_RANGE = re.compile(r"(?<![^.])(\d{1,9})-(\d{1,9})(?![^.])")


def part_names(model: nn.Module, path: str, place: str = "path") -> Iterator[str]:
    """Yield the names of a model's modules at a path.

    A path is the name of a module, as in `named_modules`, in which `0-3` stands for the numbers from 0 to 3. `encoder`
    is short for `encoders`, `head` for `heads`, and `trunk.0` for the first block, `trunk.blocks.0`.

    Example:
        >>> model = nn.ModuleDict({"trunk": Trunk(Block(IntegralOperator(8, MLPKernel(8))) for _ in range(3))})
        >>> list(part_names(model, "trunk.0-1"))
        ['trunk.blocks.0', 'trunk.blocks.1']

    Args:
        model: any module.
        path: the path.
        place: the path's place in errors.

    Raises:
        ConfigError: the model has no module of such a name; the error lists those that it has.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    for name in _expanded(path):
        for pattern, replacement in _SHORT:
            if name not in modules:
                name = pattern.sub(replacement, name)
        if not name or name not in modules:
            raise ConfigError(place, found=f"{shown(path)}", expected=_present(modules, name))
        yield name


def freeze(model: nn.Module, paths: Iterable[str], place: str = "paths") -> None:
    """Exclude parts of a model from training.

    Their parameters get no gradient, and their norms with running statistics are put into evaluation mode. `train()`
    puts all norms back into training mode, so call `freeze` after it.

    Example:
        >>> model = nn.Sequential(nn.Conv1d(1, 8, 3), nn.BatchNorm1d(8), nn.Linear(8, 2)).train()
        >>> freeze(model, ["0-1"])
        >>> [parameter.requires_grad for parameter in model.parameters()], model[1].training
        ([False, False, False, False, True, True], False)

    Args:
        model: any module.
        paths: paths of the parts; see `part_names`. For an `ITNetModel`, examples are `encoder`, `trunk.0-3` and
            `encoder.image.projection`.
        place: the place of the paths in errors.

    Raises:
        ConfigError: the model has no such part; the error lists those that it has. Nothing is frozen then.
    """
    names = [name for number, path in enumerate(paths) for name in part_names(model, path, f"{place}.{number}")]
    for name in names:
        part = model.get_submodule(name).requires_grad_(False)
        for module in part.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
                module.eval()


def _expanded(path: str) -> Iterator[str]:
    """Yield the names that a path with ranges stands for; one with an empty range stays as it is."""
    found = _RANGE.search(path)
    first, last = map(int, found.groups()) if found else (0, -1)
    if found is None or first > last:
        yield path
        return
    for number in range(first, last + 1):
        yield from _expanded(f"{path[: found.start()]}{number}{path[found.end() :]}")


def _present(modules: Iterable[str], name: str) -> str:
    """Describe the parts of the innermost module on the way to a name."""
    modules = set(modules)
    while name not in modules:
        name = name.rpartition(".")[0]
    inner = [other.rpartition(".")[2] for other in modules if other and other.rpartition(".")[0] == name]
    numbers = sorted(int(part) for part in inner if part.isdecimal())
    parts = sorted(part for part in inner if not part.isdecimal())
    parts += [f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"] if numbers else []
    return "one of " + ", ".join(f"{name}.{part}".lstrip(".") for part in parts) if parts else f"{name} as a whole"
