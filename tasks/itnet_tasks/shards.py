"""Index WebDataset shards: tar files whose consecutive members of one key are a sample.

`000123.jpg` and `000123.cls` are the image and the label of the sample `000123`. Nothing is unpacked, and no member is
decoded by what it says of itself: a shard is a list of names, offsets and sizes.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from itnet_core import DataError
from itnet_tasks.cache_folder import file_facts, remembered
from itnet_tasks.files import open_data
from itnet_tasks.stored import Content

KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)")
"""WebDataset's: the key ends at the first dot of the name."""

EXPECTED = "a tar file, not compressed"
HINT = "Fetch or write it again, and unpack a compressed one: samples are read from the middle."

LONGEST = 1 << 20
"""Bytes of a label's member that are read at most."""


class ShardSample(NamedTuple):
    """Where a sample is in its shard.

    Attributes:
        key: what the names of its members share.
        offset: of the first byte of its data.
        size: bytes of its data; 0 if it has none.
        label: content of the member of its label; `None` if it has none.
    """

    key: str
    offset: int
    size: int
    label: str | None


def index_shard(path: Path, data: Sequence[str], label: str) -> list[ShardSample]:
    """List the samples of a shard, in its order. The list is kept in the cache folder.

    Example:
        >>> import io
        >>> with tarfile.open("birds.tar", "w") as tar:
        ...     for name, content in {"0.jpg": b"(image)", "0.cls": b"7", "1.jpg": b"(another)"}.items():
        ...         member = tarfile.TarInfo(name)
        ...         member.size = len(content)
        ...         tar.addfile(member, io.BytesIO(content))
        >>> index_shard(Path("birds.tar"), ["jpg", "png"], "cls")
        [ShardSample(key='0', offset=512, size=7, label='7'), ShardSample(key='1', offset=2560, size=9, label=None)]

    Args:
        path: the shard.
        data: endings of the members with the samples' data, without the dot; a sample has one of them.
        label: ending of the members with the labels.

    Raises:
        DataError: the file is missing or damaged, has no samples, or several members are the same part of a sample.
    """
    open_data(path, EXPECTED).close()
    endings = [ending.lower() for ending in data]
    facts = ["shard", *file_facts(path), endings, label.lower()]
    samples = remembered(facts, lambda: _index(path, endings, label.lower()))
    return [ShardSample(*sample) for sample in samples]


def read_member(path: Path, offset: int, size: int) -> Content:
    """Return the content of a member, whose place is the shard and its name.

    Raises:
        DataError: the shard is missing, or has changed.
    """
    start = offset - tarfile.BLOCKSIZE  # of the header
    with open_data(path, EXPECTED) as file:
        file.seek(start)
        content = file.read(tarfile.BLOCKSIZE + size)
    try:
        name = tarfile.TarInfo.frombuf(content[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape").name
    except tarfile.HeaderError as error:
        found = f"a damaged header of a member ({error})"
        raise DataError(f"{path}, byte {start}", found=found, expected=EXPECTED, hint=HINT) from None
    if (count := len(content) - tarfile.BLOCKSIZE) < size:
        raise DataError(f"{path}, {name}", found=f"{count} bytes", expected=f"{size}")
    return Content(content[tarfile.BLOCKSIZE :], f"{path}, {name}")


def _index(path: Path, data: Sequence[str], label: str) -> list[ShardSample]:
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for name, offset, size in _members(path):
        match = KEY.fullmatch(name)
        if match is None:
            continue
        key, ending = match[1], match[2].lower()
        kind = "data" if ending in data else "label" if ending == label else ""
        if kind in (parts := found.setdefault(key, {})):
            raise DataError(
                f"{path}, {name}",
                found=f"a second member of the sample {key!r} with its {kind}",
                expected="one",
                hint=f"Its endings are {', '.join(data)}; choose one." if kind == "data" else "",
            )
        if kind:
            parts[kind] = (offset, size)
    samples = {key: parts for key, parts in found.items() if parts}
    if not samples:
        expected = f"members ending in .{', .'.join(data)} and in .{label}"
        raise DataError(str(path), found=f"no sample among {len(found)}" if found else "no member", expected=expected)
    with open_data(path, EXPECTED) as file:

        def text(offset: int, size: int) -> str:
            file.seek(offset)
            return file.read(min(size, LONGEST)).decode("utf-8", errors="replace").strip()

        return [
            ShardSample(key, *parts.get("data", (0, 0)), text(*parts["label"]) if "label" in parts else None)
            for key, parts in samples.items()
        ]


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the offset and the size of each regular member.

    Raises:
        DataError: the file is no plain tar file, or damaged; a member that is a link or sparse.
    """
    with open_data(path, EXPECTED) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if member.isdir():
                        continue
                    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                        found = f"a member that is a link, a device or sparse (type {member.type!r})"
                        raise DataError(f"{path}, {member.name}", found=found, expected="regular files")
                    yield member.name, member.offset_data, member.size
                end = tar.offset
        except (tarfile.TarError, OSError, ValueError) as error:
            raise DataError(str(path), found=f"a damaged file ({error})", expected=EXPECTED, hint=HINT) from None
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    if block != bytes(tarfile.BLOCKSIZE):  # tarfile takes a damaged header, and the end of the file, for its end
        found = "a damaged header of a member" if block else "no mark of the end: the file may be cut"
        raise DataError(f"{path}, byte {end}", found=found, expected=EXPECTED, hint=HINT)
