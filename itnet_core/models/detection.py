"""What a task finds in a user's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Detection(NamedTuple):
    """Data that a task can learn from, and configurations for it; `itnet init` takes the first that is fast enough.

    Example:
        >>> task = {"root": "pets", "image_size": 32}
        >>> detection = Detection("80 images in 2 class folders", 80, [({"preset": "image-nano"}, task)])
        >>> detection.files
        80

    Attributes:
        found: the data in words.
        files: number of files that the task would read. The task that reads most of a folder is chosen.
        configs: the section `model` and the options of the task, from the most points to the fewest.
    """

    found: str
    files: int
    configs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
