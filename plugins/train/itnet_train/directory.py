"""A run's directory: what lies in it, and when it may be written to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itnet_registry import load_config
from itnet_registry.yaml_text import to_yaml
from itnet_train.config import FREE_ON_RESUME
from itnet_train.errors import RunError
from itnet_train.files import write


@dataclass(frozen=True)
class RunDirectory:
    """The directory of a run.

    Attributes:
        path: where it is.
    """

    path: Path

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
                to be resumed but of another configuration.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(str(self.path), found="a file", expected="a directory, or nothing")
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        expected, mend = "a new or an empty directory", "Give another --output."
        if not self._is_run():
            raise RunError(str(self.path), found="files that are not of a run", expected=expected, mend=mend)
        if not resume and not overwrite:
            mend = f"Give --resume to go on with it, or --overwrite to start again. {mend}"
            raise RunError(str(self.path), found="a run that is there already", expected=expected, mend=mend)
        if resume:
            self._check_same(config)

    def start(self, config: Mapping[str, Any], *, resume: bool) -> None:
        """Make the directory and write the configuration; unless `resume` is asked for, remove the run that is here."""
        if self._is_run():
            self._tidy()
            if not resume:
                self._clear()
        self.metrics.unlink(missing_ok=True)
        self.state.parent.mkdir(parents=True, exist_ok=True)
        write(self.config, to_yaml(config))

    def _is_run(self) -> bool:
        return self.config.is_file() and self.state.parent.is_dir()

    def _check_same(self, config: Mapping[str, Any]) -> None:
        before, now = _flat(load_config(self.config)), _flat(config)
        free = {f"train.{name}" for name in FREE_ON_RESUME}
        changed = sorted(k for k in before.keys() | now.keys() if k not in free and before.get(k) != now.get(k))
        if changed:
            raise RunError(
                f"--resume {self.path}",
                found="; ".join(f"{key} = {now.get(key)!r}, which was {before.get(key)!r}" for key in changed),
                expected="the configuration that the run was started with",
                mend=f"Only {', '.join(sorted(free))} may change. Give another --output for another run.",
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
        """Remove what a run writes, and nothing else."""
        for path in (self.best, self.last, self.state.parent, self.logs):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.metrics, self.history, self.config):
            path.unlink(missing_ok=True)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted paths."""
    if isinstance(value, Mapping) and value:
        return {k: v for name, each in value.items() for k, v in _flat(each, f"{path}.{name}".lstrip(".")).items()}
    return {path: value}
