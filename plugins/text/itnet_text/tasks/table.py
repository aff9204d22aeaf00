"""Classification and regression of your own texts, in tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import model_validator

from itnet_core import DataError, Detection
from itnet_tasks import Classification, HeldOut, Labelled, LabelledTask, Regression, hold_out
from itnet_tasks.stored import Stored
from itnet_tasks.tables import TableOptions
from itnet_text.data.detected_table import detect_table
from itnet_text.data.large_table import LargeTable, is_large
from itnet_text.data.reading import row_of, text_loader
from itnet_text.data.rows import Columns, Row, label_rows, read_columns, select_texts
from itnet_text.texts import Text


class Table(LabelledTask):
    """Base of tasks on rows of .csv, .tsv, .txt (tabs) or .jsonl files, each with a label and one or two texts.

    Parquet and Arrow files, and folders of `Dataset.save_to_disk`, may be of any size: labels are in memory, and texts
    are read on access. Their names may be patterns (`train-*.parquet`), ranges (`train-{00..17}.parquet`) or addresses
    (`hf://datasets/OWNER/NAME/FILE`).
    """

    class Config(HeldOut, LabelledTask.Config, TableOptions):
        train: str
        """File of the training samples; for parquet and Arrow files also a folder, a pattern, a range or an address."""

        validation_file: str | None = None
        """File of the validation samples; by default a part of `train`."""

        test: str | None = None
        """File of the test samples; by default a fold of `train`."""

        text: str | int = "text"
        """Column of the text: its name, or its number from 0 in a file without a header."""

        second_text: str | int | None = None
        """Column of the second text, for pairs."""

        label: str | int = "label"
        """Column of the label."""

        header: bool = True
        """Whether the first line names the columns."""

        encoding: str = "utf-8"
        """Encoding of the files."""

        download: bool = False
        """Allow downloading the parquet files of addresses."""

    modality = "text"
    suffixes = (".txt",)
    reads_text = True

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect a table with a column of texts and one of labels that this task takes."""
        table = detect_table(path)
        if table is None or table.is_regression != issubclass(cls, Regression):
            return None
        return table.detection()

    def training(self) -> Labelled:
        """Return the training rows; without a test file, a fold of them is held out for the test split."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the rows of the validation file, or `None` without one."""
        return None if self.config.validation_file is None else self._rows(self.config.validation_file)

    def test(self) -> Labelled:
        """Return the rows of the test file, or the rows held out."""
        return self._train_and_test[1]

    def label_of(self, value: Any) -> float | None:
        """Return the number of a label as the file writes it, or `None` if it is not a label."""
        raise NotImplementedError

    def length(self, source: Row) -> float:
        """Return the number of characters."""
        return sum(map(len, source.texts))

    def loader(self, *, training: bool) -> Callable[[Row | Path], Text]:
        """Return a function that reads a row, or a user's file."""
        return text_loader(pair=self.config.second_text is not None, encoding=self.config.encoding)

    def source_of(self, value: Any) -> Row:
        """Return a user's text, pair of texts, or row of a table.

        Raises:
            DataError: it is another value.
        """
        return row_of(value, self._columns)

    def collate_inputs(self, inputs: Sequence[Text]) -> list[Text]:
        """Return the texts as a list."""
        return list(inputs)

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        everything = self._rows(self.config.train)
        if self.config.test is None:
            return hold_out(everything, self.config)
        return everything, self._rows(self.config.test)

    @property
    def _columns(self) -> list[str]:
        return [str(name) for name in (self.config.text, self.config.second_text) if name is not None]

    def _rows(self, path: str) -> Labelled:
        if is_large(path):
            table = _open(path, self.config)
            rows: Sequence[Row] = Stored(table.tables.positions(), partial(self._stored, table), table.tables.files)
            values: Iterable[Any] = table.column(str(self.config.label))
        else:
            read = _read(path, self.config)
            rows = [self._row(place, columns) for place, columns in read]
            values = (columns.get(str(self.config.label)) for _, columns in read)
        labels = [0 if (label := self.label_of(value)) is None else label for value in values]
        return label_rows(rows, torch.tensor(labels), path)

    def _stored(self, table: LargeTable, position: Sequence[int]) -> Row:
        return self._row(*table.row(position))

    def _row(self, place: str, columns: Columns) -> Row:
        row, value = select_texts(columns, self._columns, place), columns.get(str(self.config.label))
        if self.label_of(value) is None and not row.problem:
            return row._replace(problem=f"the label {value!r} in column {self.config.label!r}")
        return row


class TextTable(Table, Classification):
    """Classification of texts by the values of the label column, or by whether its numbers exceed a threshold.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from pathlib import Path
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "reviews.csv"
        ...     rows = ["text,label", *["a fine film,good", "very dull,bad"] * 10]
        ...     _ = file.write_text("\\n".join(rows))
        ...     task = TextTable(train=str(file))
        ...     task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs
        (('bad', 'good'), 14, 'a fine film')
    """

    class Config(Table.Config, Classification.Config):
        threshold: float | None = None
        """Divide a numeric column into two classes: up to the threshold, and above."""

        classes: tuple[str, ...] | None = None
        """Class names; by default the sorted values of the label column, or `low` and `high` with a threshold. A
        checkpoint stores the names, so that it predicts without the data."""

        @model_validator(mode="after")
        def _check_threshold(self) -> Self:
            if self.threshold is not None and self.classes is not None and len(self.classes) != 2:
                raise ValueError("two classes with a threshold")
            return self

        def completed(self) -> Self:
            """Fill in `classes` from the training file, if it exists already."""
            if self.classes is not None:
                return self
            try:
                return self.model_copy(update={"classes": _classes(self)})
            except DataError:  # a configuration may be written before the data exist
                return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names.

        Raises:
            DataError: the configuration does not list them, and the training file is missing.
        """
        return self.config.classes or _classes(self.config)

    def label_of(self, value: Any) -> int | None:
        """Return the number of a class."""
        if self.config.threshold is None:
            return None if value is None else self._numbers.get(str(value))
        number = _number(value)
        return None if number is None else int(number > self.config.threshold)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}


class TextTableRegression(Table, Regression):
    """Regression of a numeric label column.

    Example:
        >>> rows = ["text,stars", *["a fine film,5", "very dull,1"] * 10]
        >>> _ = Path("reviews.csv").write_text("\\n".join(rows))
        >>> task = TextTableRegression(train="reviews.csv", label="stars", centre=3, scale=2)
        >>> len(task.dataset("train")), task.describe(torch.tensor([[0.5]]))
        (14, [{'value': 4.0}])
    """

    class Config(Table.Config, Regression.Config):
        centre: float = 0.0
        """A typical number, which an untrained model predicts."""

        scale: float = 1.0
        """Typical distance of numbers from the centre; the unit of the loss."""

    @property
    def centre(self) -> float:  # type: ignore[override]
        """A typical number."""
        return self.config.centre

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Typical distance of numbers from the centre."""
        return self.config.scale

    def label_of(self, value: Any) -> float | None:
        """Return a number within the range of float32, in which models compute."""
        number = _number(value)
        return None if number is None or abs(number) > torch.finfo(torch.float32).max else number


def _read(path: str, config: Table.Config) -> list[tuple[str, Columns]]:
    return read_columns(path, _names(config), header=config.header, encoding=config.encoding)


def _open(path: str, config: Table.Config) -> LargeTable:
    return LargeTable.open(path, _names(config), config.stream_gigabytes, download=config.download)


def _names(config: Table.Config) -> list[str]:
    return [str(name) for name in (config.text, config.second_text, config.label) if name is not None]


def _classes(config: TextTable.Config) -> tuple[str, ...]:
    """List the classes that the training file states, or its sorted labels, or the two sides of the threshold."""
    if config.threshold is not None:
        return ("low", "high")
    label = str(config.label)
    if is_large(config.train):
        table = _open(config.train, config)
        if label in table.names:
            return table.names[label]
        values: Iterable[Any] = table.column(label)
    else:
        values = (columns.get(label) for _, columns in _read(config.train, config))
    return tuple(sorted({str(value) for value in values if value is not None and str(value).strip()}))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
