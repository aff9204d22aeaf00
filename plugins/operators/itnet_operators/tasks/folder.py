"""Operator learning on fields of one's own."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveFloat

from itnet_core import AXES, ConfigError, DataError, Detection, ITNetError
from itnet_operators.axes import AxisLetters
from itnet_operators.data.field_arrays import sample_of
from itnet_operators.data.field_files import SUFFIXES, Stack, StackRow, read_arrays
from itnet_operators.data.moments import Moments
from itnet_operators.samples import FieldSample, place_positions
from itnet_operators.tasks.operator_learning import OperatorLearning
from itnet_tasks import HeldOut, Labelled, SkippedSampleWarning, hold_out

MEASURED = ("scale", "axes", "input_mean", "input_scale", "centre", "unit")
Numbers = tuple[float, ...]
Units = tuple[PositiveFloat, ...]


class FieldFolder(OperatorLearning):
    """Fields of your own, with targets at the same points: on grids or at irregular points, of any number.

    `root` is one of:

    - a folder of .npz files, one per sample, with the arrays `inputs` (N, c), `targets` (N, o), `positions` (N, p) and,
      optionally, `weights` (N,) and `grid`;
    - an .npz or HDF5 file of all samples, whose arrays have a leading sample axis; `positions`, `weights` and `grid`
      may lack it, if they are the same for all samples. HDF5 needs `pip install 'itnet-operators[hdf5]'`;
    - a folder with `train` and, optionally, `val` and `test`, each a folder or a file (`train.npz`) as above.

    Without `test`, a fixed fold of the samples is the test split; without `val`, a part of the training samples is the
    validation split.

    `grid` has the sizes of the regular row-major grid that the points form; then `positions` may be missing, and the
    points are the cell centres of [−1, 1] in each direction. `weights` are quadrature weights, such as areas of cells;
    without them, all points have the same weight. A point of weight 0 is padding, and is ignored. A target that is NaN
    is no target: a boundary point that only carries input has a small weight, and NaN as its target.

    Inputs are standardised, and positions are shifted and scaled so that the longest side of their bounding box over
    all training samples is [−1, 1]; or, if `period` is set, so that it is 2. The numbers for it are computed
    from the training samples, unless they are configured, and stored in checkpoints.

    Example:
        >>> import numpy as np
        >>> for i in range(10):
        ...     Path("heat").mkdir(exist_ok=True)
        ...     x = np.random.default_rng(i).uniform(0, 5, (30, 2))
        ...     np.savez(f"heat/{i}.npz", positions=x, inputs=x.sum(1), targets=np.sin(x))
        >>> task = FieldFolder(root="heat")
        >>> task.axes, task.channels, task.outputs, len(task.dataset("train"))
        ('xy', 1, 2, 7)
    """

    class Config(HeldOut, OperatorLearning.Config):
        root: str
        """Folder or file of the samples."""

        axes: AxisLetters | None = None
        """Axis of space-time of each coordinate, such as `tx`; by default `x`, `xy`, `xyz` or `txyz`."""

        period: PositiveFloat | None = None
        """Length of the (longest) period of a periodic domain, in the unit of the positions; it becomes 2."""

        input_mean: Numbers | None = None
        """Mean of each input channel over the training samples, which is subtracted."""

        input_scale: Units | None = None
        """Standard deviation of each input channel over the training samples, which divides it; 1 for a constant."""

        centre: Numbers | None = None
        """Middle of the bounding box of the training samples' positions, which is subtracted."""

        unit: PositiveFloat | None = None
        """Unit of the positions: half the longest side of that box, or half of `period`."""

        def measured(self) -> dict[str, Any]:
            """Return the fields that are missing, from the training samples."""
            known = {name: getattr(self, name) for name in MEASURED}
            return FieldFolder(self).measure() if None in known.values() else known

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect .npz or HDF5 files with the arrays `inputs` and `targets`; a single one has all samples."""
        stacks = [file for file in path.glob("*") if file.suffix.lower() in SUFFIXES]
        path = stacks[0] if len(stacks) == 1 else path
        try:
            samples = _samples(_find(path, "train") or path).sources
            first = _read(samples[0])  # type: ignore[arg-type]
        except (ITNetError, OSError, IndexError):
            return None
        points, axes = first.values.shape[0], first.positions.shape[1]
        preset = "operator-nano" if axes == 2 and first.grid is not None else "operator-1d-nano"
        found = f"{len(samples):,} fields with targets, the first of {points:,} points in {axes} dimensions"
        files = sum(file.is_file() for file in path.rglob("*")) if path.is_dir() else 1
        return Detection(found, files, [({"preset": f"itnet-operators/{preset}"}, {"root": str(path)})])

    @property
    def axes(self) -> str:
        """Axis of each coordinate."""
        axes: str = self._known["axes"]
        return axes

    @property
    def channels(self) -> int:
        """Columns of `inputs`."""
        return len(self._known["input_mean"])

    @property
    def outputs(self) -> int:
        """Columns of `targets`."""
        return len(self._known["scale"])

    def training(self) -> Labelled:
        """Return the samples for training; without `test`, a fold of them is held out for the test split."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the samples in `val`, if it exists."""
        return self._optional("val")

    def test(self) -> Labelled:
        """Return the samples in `test`, or the samples held out."""
        return self._train_and_test[1]

    def load(self, source: Path | StackRow) -> FieldSample:
        """Read and prepare a sample.

        Raises:
            DataError: the file is damaged, or an array does not fit.
        """
        return self.prepare(self.check_columns(_read(source), str(source)))

    def prepare(self, sample: FieldSample) -> FieldSample:
        """Standardise the inputs, and place the positions in space-time."""
        known, values, positions = self._known, sample.values, sample.positions
        values = (values - values.new_tensor(known["input_mean"])) / values.new_tensor(known["input_scale"])
        positions = (positions - positions.new_tensor(known["centre"])) / known["unit"]
        return sample._replace(values=values, positions=place_positions(positions, self.axes))

    def measure(self) -> dict[str, Any]:
        """Compute the fields of the configuration that follow from the training samples.

        Raises:
            DataError: the samples are missing, or one of them cannot be read or has other columns than the first.
        """
        c, inputs, targets = self.config, Moments(), Moments()
        what = f"{c.root}: the training samples"
        boxes, columns = [], None
        for source in self._training_parts["train"].sources:
            try:
                sample = _read(source)
            except DataError:
                if c.on_bad_sample == "skip":
                    continue
                raise
            assert sample.targets is not None
            found = tuple(tensor.shape[1] for tensor in (sample.values, sample.targets, sample.positions))
            if found != (columns := columns or found):
                expected = f"{columns}, as in the first training sample"
                raise DataError(str(source), found=f"{found} columns of inputs, targets, positions", expected=expected)
            inputs.add(sample.values)
            targets.add(sample.targets)
            boxes.append(torch.stack(sample.positions[sample.weights > 0].aminmax(dim=0)))
        if not boxes:
            raise DataError(what, found="none that can be read", expected="at least one")
        corners = torch.stack(boxes)
        low, high = corners[:, 0].amin(0), corners[:, 1].amax(0)
        length = float((high - low).max()) if c.period is None else c.period
        return {
            "scale": c.scale or targets.deviations(f"{what}: targets"),
            "axes": c.axes or ("txyz" if len(low) == len(AXES) else "xyz"[: len(low)]),
            "input_mean": c.input_mean or inputs.means(f"{what}: inputs"),
            "input_scale": c.input_scale or inputs.deviations(f"{what}: inputs", constant=1.0),
            "centre": c.centre or tuple(((low + high) / 2).tolist()),
            "unit": c.unit or length / 2 or 1.0,
        }

    @cached_property
    def _known(self) -> dict[str, Any]:
        """The fields that `measure` computes, as configured or computed."""
        known: dict[str, Any] = self.config.measured()
        if len(known["axes"]) != len(known["centre"]):
            found, expected = f"axes {known['axes']!r}", f"an axis for each of {len(known['centre'])} coordinates"
            raise ConfigError("FieldFolder.axes", found=found, expected=expected)
        return known

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        root = Path(self.config.root).expanduser()
        samples, test = _samples(_find(root, "train") or root), self._optional("test")
        return (samples, test) if test is not None else hold_out(samples, self.config)

    def _optional(self, split: str) -> Labelled | None:
        root = Path(self.config.root).expanduser()
        place = _find(root, split) if _find(root, "train") else None
        return None if place is None else _samples(place)


def _find(root: Path, split: str) -> Path | None:
    """Return the folder or the file of a split, if it exists.

    Raises:
        DataError: there are several.
    """
    found = [path for path in (root / split, *(root / f"{split}{suffix}" for suffix in SUFFIXES)) if path.exists()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(str(root), found=names, expected=f"one folder or file for {split}")
    return found[0] if found else None


def _samples(place: Path) -> Labelled:
    """List the samples of a folder or of a file."""
    sources: list[Path] | list[StackRow]
    if place.is_dir():
        sources = _files(place)
    elif place.suffix.lower() in SUFFIXES or not place.exists():
        stack = Stack(place)
        sources = [StackRow(stack, index) for index in range(len(stack))]
    else:
        raise DataError(
            str(place), found="another suffix", expected=f"a folder, or a file ending in {', '.join(SUFFIXES)}"
        )
    return Labelled(sources, torch.zeros(len(sources), dtype=torch.int64))


def _files(folder: Path) -> list[Path]:
    try:
        visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(str(folder), found=error.strerror or str(error), expected="a folder of .npz files") from None
    files = [path for path in visible if path.suffix.lower() == ".npz"]
    if not files:
        hint = "A folder of classes or of other formats is not read; write one .npz file per sample."
        raise DataError(str(folder), found="no .npz file", expected="one .npz file per sample", hint=hint)
    if others := [path for path in visible if path not in set(files)]:
        left_out = f"{len(others)} of {len(visible)} files left out because of their suffix: {others[0]}"
        warnings.warn(left_out + (" and others" if len(others) > 1 else ""), SkippedSampleWarning, stacklevel=2)
    return files


def _read(source: Path | StackRow) -> FieldSample:
    arrays = read_arrays(source) if isinstance(source, Path) else source.stack.arrays(source.number)
    return sample_of(arrays, str(source), labelled=True)
