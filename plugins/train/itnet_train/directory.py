"""A run's directory: what lies in it, and when it may be written to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itnet_registry import load_config
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_registry.config.yaml_text import to_yaml
from itnet_train.config import FREE_ON_RESUME
from itnet_train.errors import RunError
from itnet_train.files import part_of, write
from itnet_train.lock import locked


@dataclass(frozen=True)
class RunDirectory:
    """The directory of a run.

    Attributes:
        path: where it is.
    """

    path: Path

    @property
    def lock(self) -> Path:
        """The file that a run holds a lock on while it is trained. It is the first that a run writes, and its mark."""
        return self.path / "run.lock"

    @property
    def config(self) -> Path:
        """The run's complete configuration."""
        return self.path / "config.yaml"

    @property
    def best(self) -> Path:
        """The checkpoint of the best validation."""
        return self.path / "best"

    @property
    def last(self) -> Path:
        """The checkpoint of the last validation."""
        return self.path / "last"

    @property
    def state(self) -> Path:
        """The training state that a run is resumed from."""
        return self.path / "resume" / "state.ckpt"

    @property
    def history(self) -> Path:
        """A row for each epoch."""
        return self.path / "history.csv"

    @property
    def logs(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """What came out; it is written when the run ends."""
        return self.path / "metrics.json"

    def check(self, config: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """See whether a run of the complete configuration `config` may be written here.

        Raises:
            RunError: something is here and neither `resume` nor `overwrite` is asked for; or what is here is no run, or
                to be resumed but of another configuration; or its name is not one that every library can open.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            raise RunError(str(self.path), found="a name that is not UTF-8", expected="one that is") from None
        if self.path.exists() and not self.path.is_dir():
            raise RunError(str(self.path), found="a file", expected="a directory, or nothing")
        if not self.path.exists() or not {*self.path.iterdir()} - {self.lock, part_of(self.config)}:
            return  # a run that was killed before its configuration was written is none yet
        expected, hint = "a new or an empty directory", "Give another --output."
        if not self._is_run():
            raise RunError(str(self.path), found="files that are not of a run", expected=expected, hint=hint)
        if not resume and not overwrite:
            hint = f"Give --resume to go on with it, or --overwrite to start again. {hint}"
            raise RunError(str(self.path), found="a run that is there already", expected=expected, hint=hint)
        if resume and (self.state.exists() or self.metrics.exists()):
            self._check_same(config)

    def hold(self) -> AbstractContextManager[None]:
        """Make the directory, and keep every other run away from it for as long as the context lasts."""
        self.path.mkdir(parents=True, exist_ok=True)
        return locked(self.lock)

    def start(self, config: Mapping[str, Any], *, resume: bool) -> None:
        """Write the configuration; unless there is a state that is to be resumed from, remove the run that is here.

        A kill may come between any two of these steps. A run that has ended no longer says so once anything of it is
        gone, and its configuration stays until the next stands in its place: so what is here is always a run.
        """
        self.metrics.unlink(missing_ok=True)
        if resume and self.state.exists():
            self._tidy()
        else:
            self._clear()
        write(self.config, to_yaml(config))
        self.state.parent.mkdir(exist_ok=True)

    def _is_run(self) -> bool:
        return self.lock.is_file() or (self.config.is_file() and self.state.parent.is_dir())

    def _check_same(self, config: Mapping[str, Any]) -> None:
        fields = CompleteModelConfig.model_fields.items()  # those that are younger than the run have their default
        younger = {f"model.{name}": field.default for name, field in fields if not field.is_required()}
        before, now = younger | _flat(load_config(self.config)), _flat(config)
        free = {f"train.{name}" for name in FREE_ON_RESUME}
        changed = sorted(k for k in before.keys() | now.keys() if k not in free and before.get(k) != now.get(k))
        if changed:
            raise RunError(
                f"--resume {self.path}",
                found="; ".join(f"{key} = {now.get(key)!r}, which was {before.get(key)!r}" for key in changed),
                expected="the configuration that the run was started with",
                hint=f"Only {', '.join(sorted(free))} may change. Give another --output for another run.",
            )

    def _tidy(self) -> None:
        """Mend what a kill in the middle of a save has left: half a checkpoint, or a whole one that is still aside."""
        for checkpoint in (self.best, self.last):
            aside = checkpoint.with_name(f".{checkpoint.name}.previous")
            if aside.is_dir() and not checkpoint.exists():
                aside.rename(checkpoint)
            for path in self.path.glob(f".{checkpoint.name}.*.part"):
                shutil.rmtree(path)

    def _clear(self) -> None:
        """Remove what a run writes, and nothing else: the state first, the configuration not at all."""
        self.state.unlink(missing_ok=True)
        for path in (self.history, part_of(self.history), part_of(self.metrics)):
            path.unlink(missing_ok=True)
        halves = [path for checkpoint in (self.best, self.last) for path in self.path.glob(f".{checkpoint.name}.*")]
        for path in (self.best, self.last, self.state.parent, self.logs, *halves):
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted paths."""
    if isinstance(value, Mapping) and value:
        return {k: v for name, each in value.items() for k, v in _flat(each, f"{path}.{name}".lstrip(".")).items()}
    return {path: value}
