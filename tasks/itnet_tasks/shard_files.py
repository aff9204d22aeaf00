"""Base of classification of samples in WebDataset shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from itnet_tasks.large_files import LargeFiles, Rows
from itnet_tasks.shards import index_shard, read_member
from itnet_tasks.stored import Content, Stored


class ShardFiles(LargeFiles):
    """Base of tasks on WebDataset shards: tar files with the data and the label of each sample.

    The shards are indexed at the start, and samples read by their offset. So they need not be unpacked, and shuffling,
    resume and the number of processes are those of any data.

    The configuration of a subclass has an option named after the `modality`, such as `image`: the ending of the
    members with the data, or `None` for all of the task's `suffixes`.
    """

    class Config(LargeFiles.Config):
        label: str = "cls"
        """Ending of the labels' members, whose content is the number or the name of a class."""

        label_field: str | None = None
        """Field of the label, where these members are JSON objects."""

    def rows(self, files: Sequence[Path]) -> Rows:
        """List the samples of shards."""
        ending, label = getattr(self.config, self.modality), self.config.label
        endings = [suffix.lstrip(".") for suffix in self.suffixes] if ending is None else [ending]
        found = [(number, sample) for number, file in enumerate(files) for sample in index_shard(file, endings, label)]
        positions = torch.tensor([(number, sample.offset, sample.size) for number, sample in found])
        return Rows(
            Stored(positions, partial(_read, files), files),
            [self._label(sample.label) for _, sample in found],
            [f"{files[number]}, sample {sample.key}" for number, sample in found],
            {index: f"no {self.modality}" for index, (_, sample) in enumerate(found) if not sample.size},
        )

    def _label(self, content: str | None) -> Any:
        field = self.config.label_field
        if field is None or content is None:
            return content
        try:
            return json.loads(content)[field]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def _read(files: Sequence[Path], position: Sequence[int]) -> Content:
    number, offset, size = position
    return read_member(files[number], offset, size)
