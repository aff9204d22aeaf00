"""The folder of files that are computed from data sets, and can be computed again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from itnet_core.plugin.files import atomic_path


def cache_folder() -> Path:
    """Return the folder of caches: `ITNET_CACHE` in the environment, or else `itnet` in the user's cache folder.

    Example:
        >>> os.environ["ITNET_CACHE"] = "caches"
        >>> cache_folder().as_posix()
        'caches'
    """
    own, everyones = os.environ.get("ITNET_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else Path(everyones or Path.home() / ".cache") / "itnet"


def fingerprint(*facts: Any) -> str:
    """Return a name for files that follow from some facts.

    Example:
        >>> fingerprint("a.tar", 3) == fingerprint("a.tar", 3), fingerprint("a.tar", 3) == fingerprint("a.tar", 4)
        (True, False)
    """
    return blake2b(repr(facts).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def file_facts(path: Path) -> tuple[str, int, int]:
    """Return what distinguishes a file from its earlier and later contents: the path, the size and the time."""
    try:
        status = path.stat()
    except OSError:  # opening the file reports the error
        return str(path.absolute()), 0, 0
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def remembered(facts: Any, compute: Callable[[], Any]) -> Any:
    """Return a JSON value that follows from some facts, from a file in the cache, or else computed and written there.

    A folder that cannot be written to, or a damaged file, costs the time of computing the value again.

    Example:
        >>> remembered(["squares", 3], lambda: [0, 1, 4]), remembered(["squares", 3], lambda: "not computed again")
        ([0, 1, 4], [0, 1, 4])
    """
    path = cache_folder() / f"{fingerprint(facts)}.json"
    with suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    value = compute()
    with suppress(OSError, UnicodeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, str(os.getpid())) as partial:  # several processes may compute it
            partial.write_text(json.dumps(value), encoding="utf-8")
    return value
