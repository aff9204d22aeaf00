"""Base of tasks from fields to fields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import PositiveFloat
from torch import Tensor

from itnet_core import Batch, DataError, Field, Metric, ShapeError
from itnet_operators.data.field_arrays import arrays_of, sample_of
from itnet_operators.data.field_files import read_arrays
from itnet_operators.data.moments import Moments
from itnet_operators.samples import (
    FieldSample,
    Targets,
    collate_fields,
    collate_targets,
    place_positions,
    relative_errors,
    with_coordinates,
)
from itnet_tasks import LabelledTask, Sample
from itnet_tasks.values import PLACE


class OperatorLearning(LabelledTask):
    """Base of tasks that learn an operator: samples are fields, with a target field at the same points.

    Loss and metric are the relative L2 error ‖prediction − target‖ / ‖target‖ in the norm of the field's quadrature
    weights, averaged over samples. So they are errors of functions, and comparable between resolutions. The head
    predicts targets in units of `scale`, one number per output; targets are not centred, because the relative error
    depends on where 0 is.

    A subclass lists samples (`FieldSample`) as sources, with any labels.

    Example:
        >>> from itnet_operators.samples import grid_points, samples_on
        >>> from itnet_tasks import Labelled
        >>> class Square(OperatorLearning):
        ...     axes, channels, outputs = "x", 1, 1
        ...     def training(self):
        ...         u = torch.rand(20, 16, 1)
        ...         return Labelled(samples_on(grid_points((16,), "x"), u, u**2), torch.zeros(20))
        ...     test = training
        >>> task = Square(scale=[0.5])
        >>> batch = task.collate([task.dataset("test")[0]])
        >>> task.loss(torch.zeros(1, 16, 1), batch.targets)
        tensor(1.)

    Attributes:
        axes: axes of space-time along which the points lie, in the order of a user's coordinates.
        channels: channels of the input fields.
        outputs: numbers to predict at each point.
    """

    class Config(LabelledTask.Config):
        scale: tuple[PositiveFloat, ...] | None = None
        """Unit of each output in the loss: by default the standard deviation of the training targets. A checkpoint
        stores it, so that evaluation and prediction need no training data."""

        coordinates: bool = False
        """Append the coordinates of the points to the inputs, for kernels that read differences of positions alone."""

        def completed(self) -> Self:
            """Fill in the fields that follow from the training data, if they exist already."""
            try:
                return self.model_copy(update=self.measured())
            except DataError:  # a configuration may be written before the data exist
                return self

        def measured(self) -> dict[str, Any]:
            """Return the fields that are missing and follow from the training data; by default none.

            Raises:
                DataError: the data are missing.
            """
            return {}

    modality = "field"
    suffixes = (".npz",)
    monitor = "relative_l2"
    monitor_mode = "min"

    @property
    @abstractmethod
    def axes(self) -> str:
        """Axes along which the points lie."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the input fields."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers to predict at each point."""

    @property
    def scale(self) -> tuple[float, ...]:
        """Unit of each output.

        Raises:
            DataError: the configuration does not state it, and there are no training data to compute it from.
        """
        scale: tuple[float, ...] = self.config.scale or self.measured_scale()
        if len(scale) != self.outputs:
            raise DataError(
                f"{type(self).__name__}.scale", found=f"{len(scale)} numbers", expected=f"one of {self.outputs} outputs"
            )
        return scale

    def measured_scale(self) -> tuple[float, ...]:
        """Return the standard deviation of each output over the training split.

        Raises:
            DataError: the data are missing, or an output is the same everywhere.
        """
        moments, dataset = Moments(), self.dataset("train")
        for sample in (dataset[index] for index in range(len(dataset))):
            if sample is not None:
                moments.add(sample.inputs.targets)
        return moments.deviations(f"{type(self).__name__}: the training targets")

    @property
    def head(self) -> Mapping[str, Any]:
        """A head with the outputs at every point."""
        return {"name": "itnet-core/per-point", "outputs": self.outputs}

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Channels and axes."""
        channels = self.channels + len(self.axes) * self.config.coordinates
        return {"channels": channels, "axes": self.axes}

    def loader(self, *, training: bool) -> Callable[[Any], FieldSample]:
        """Return a function from a source to a sample."""
        return self._load

    def load(self, source: Any) -> FieldSample:
        """Return the sample of a source; by default, the source itself."""
        sample: FieldSample = source
        return sample

    def prepare(self, sample: FieldSample) -> FieldSample:
        """Place a user's sample, with positions (N, p) and inputs in the file's units, in space-time."""
        return sample._replace(positions=place_positions(sample.positions, self.axes))

    def read(self, source: Any) -> Sample:
        """Read a user's .npz file, with the keys that the task `field-folder` has, or such arrays in memory.

        `targets` are not read. An array alone is the inputs on a grid over [−1, 1] in each direction, of shape
        (n_1, …, n_p, c), or (n_1, …, n_p) for one channel.

        Raises:
            DataError: the file is missing or damaged, or it or the value has other channels or coordinates than the
                task.
        """
        in_file = isinstance(source, Path)
        arrays = read_arrays(source) if in_file else arrays_of(source, axes=len(self.axes), channels=self.channels)
        place = str(source) if in_file else PLACE
        sample = sample_of(arrays, place, labelled=False)
        return Sample(self._finish(self.prepare(self.check_columns(sample, place))), None)

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Collate samples to a `Field` and `Targets`, with padding of weight 0."""
        return super().collate([sample and _labelled(sample.inputs) for sample in samples])

    def collate_inputs(self, inputs: Sequence[FieldSample]) -> Field:
        """Collate fields."""
        return collate_fields(inputs)

    def collate_targets(self, labels: Sequence[FieldSample]) -> Targets:
        """Collate targets, divided by `scale`."""
        return collate_targets(labels, self.scale)

    def loss(self, prediction: Tensor, targets: Targets) -> Tensor:
        """Compute the mean relative L2 error.

        Raises:
            ShapeError: the prediction is at other points than the targets.
        """
        if prediction.shape != targets.values.shape:
            raise ShapeError(
                f"{type(self).__name__}.loss(prediction)",
                found=f"shape {tuple(prediction.shape)}",
                expected=f"a prediction at each of the points, {tuple(targets.values.shape)}",
                hint="If the trunk changes its query points, end it with {query: {block: encoder}}.",
            )
        return relative_errors(prediction, targets).mean()

    def metrics(self) -> Mapping[str, Metric]:
        """Return the relative L2 error."""
        from itnet_operators.metrics import RelativeL2  # seconds of imports, which training alone needs

        return {"relative_l2": RelativeL2()}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each sample by the values at its points, in the data's unit, and their extremes and means.

        `values` has a list of the outputs for each point, in the order of the file's points.
        """
        records, prediction = [], prediction.float()
        for values in prediction * prediction.new_tensor(self.scale):
            summary = {"minimum": values.amin(0), "maximum": values.amax(0), "mean": values.mean(0)}
            records.append({name: numbers.tolist() for name, numbers in {**summary, "values": values}.items()})
        return records

    def check_columns(self, sample: FieldSample, place: str) -> FieldSample:
        """Check that a sample, with positions (N, p), has the channels, coordinates and outputs of the task.

        Raises:
            DataError: it does not.
        """
        expected = {"inputs": self.channels, "positions": len(self.axes), "targets": self.outputs}
        found = {"inputs": sample.values, "positions": sample.positions, "targets": sample.targets}
        for key, tensor in found.items():
            if tensor is not None and tensor.shape[1] != expected[key]:
                columns = f"{tensor.shape[1]} columns"
                raise DataError(f"{place}: {key}", found=columns, expected=f"{expected[key]}, as in the training data")
        return sample

    def _load(self, source: Any) -> FieldSample:
        return self._finish(self.load(source))

    def _finish(self, sample: FieldSample) -> FieldSample:
        return with_coordinates(sample, self.axes) if self.config.coordinates else sample


def _labelled(sample: FieldSample) -> Sample:
    """Return a sample as its own label, whose targets and weights become the batch's `Targets`."""
    return Sample(sample, None if sample.targets is None else sample)
