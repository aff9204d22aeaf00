"""Read GLUE's files: the hub's Parquet files, or the tab-separated files of the original download."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from itnet_core import DataError
from itnet_tasks import open_data
from itnet_text.data.rows import Columns, read_tsv

if TYPE_CHECKING:  # seconds of imports, which prediction does not need
    from datasets import Dataset

HUB = "nyu-mll/glue"


@dataclass(frozen=True)
class Files:
    """Location and column names of one of GLUE's tasks.

    Attributes:
        hub: name of the task on the hub, and of its folder there.
        folder: name of the folder in the original download.
        columns: text columns on the hub, with their names in the original files.
        label: the label column in the original files; on the hub it is `label`.
        header: column names of original files without a header.
    """

    hub: str
    folder: str
    columns: dict[str, str]
    label: str = "label"
    header: tuple[str, ...] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the text columns on the hub, which `read` yields."""
        return tuple(self.columns)

    def read(self, root: str, split: str, *, source: str | None) -> Iterator[tuple[str, Columns]]:
        """Yield the place and the columns of each row of a split: the text columns by the hub's names, and `label`.

        Args:
            root: folder of the task, or of all tasks.
            split: `train`, `validation`, or MNLI's `validation_matched` and `validation_mismatched`.
            source: name of the data set on the hub, used if the folder is missing; `None` never downloads.

        Raises:
            DataError: the data are missing in both forms, or damaged.
        """
        homes = [Path(root).expanduser(), *(Path(root).expanduser() / name for name in (self.hub, self.folder))]
        for home in homes:
            parquet = sorted(home.glob(f"{split}-*.parquet")) or sorted(home.glob(f"{split}.parquet"))
            tsv = self._tsv(home, split)
            if parquet:
                return self._of_hub(_parquet(parquet), str(parquet[0]))
            if tsv is not None:
                return self._of_tsv(tsv)
        if source is not None:
            return self._of_hub(_hub(source, self.hub, split), f"{source}/{self.hub}/{split}")
        raise DataError(
            str(homes[0]),
            found=f"neither {split}-*.parquet nor {self._names(split)[0]}, nor a folder {self.hub} or {self.folder}",
            expected=f"GLUE's {self.folder}, as Parquet files or in its original form",
            hint="Set root to where it is, or download: true.",
        )

    def _names(self, split: str) -> list[str]:
        part = "train" if split == "train" else split.replace("validation", "dev")
        names = [f"{part}.tsv"]
        if self.folder == "MRPC":  # GLUE had no right to give these away: many have them from Microsoft
            names.append(f"msr_paraphrase_{'train' if split == 'train' else 'test'}.txt")
        return names

    def _tsv(self, home: Path, split: str) -> Path | None:
        return next((home / name for name in self._names(split) if (home / name).is_file()), None)

    def _of_tsv(self, path: Path) -> Iterator[tuple[str, Columns]]:
        names = {original: name for name, original in self.columns.items()} | {self.label: "label"}
        for place, columns in read_tsv(path, self.header):
            yield place, {names[name]: value for name, value in columns.items() if name in names}

    def _of_hub(self, dataset: Dataset, place: str) -> Iterator[tuple[str, Columns]]:
        names = (*self.texts, "label")
        missing = [name for name in names if name not in dataset.column_names]
        if missing:
            raise DataError(place, found=f"no column {missing[0]}", expected=f"columns {', '.join(names)}")
        for number, columns in enumerate(dataset.select_columns(list(names))):
            yield f"{place}, row {number}", columns


def _parquet(paths: list[Path]) -> Dataset:
    from datasets import Dataset

    for path in paths:
        open_data(path, "a Parquet file").close()
    try:
        return Dataset.from_parquet([glob.escape(str(path)) for path in paths])  # which it takes for patterns
    except Exception as error:  # pyarrow and datasets raise many kinds for a damaged file
        cause = error.__cause__ or error
        raise DataError(
            str(paths[0]), found=f"a damaged file ({cause})", expected="a Parquet file", hint="Fetch it again."
        ) from error


def _hub(source: str, name: str, split: str) -> Dataset:
    from datasets import load_dataset

    try:
        return load_dataset(source, name, split=split)
    except Exception as error:
        raise DataError(
            f"{source}/{name}", found=f"a download that failed ({error})", expected="the data set on the hub"
        ) from error
