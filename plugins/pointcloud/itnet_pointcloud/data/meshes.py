"""Open mesh files."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from itnet_core import DataError
from itnet_tasks import read_data

SUFFIXES = (".obj", ".off", ".ply", ".stl")
"""Suffixes of mesh files; the suffix decides how a file is read."""


def open_mesh(path: Path) -> trimesh.Trimesh:
    """Read the triangles of a mesh file; polygons with more corners are triangulated.

    Files that the mesh refers to (materials, textures) are not opened.

    Raises:
        DataError: the file is missing, empty, truncated or of another format, or has no triangle, no area, or a corner
            that is NaN or infinite in float32.
    """
    kind = path.suffix.lower().removeprefix(".")
    expected = f"a whole mesh in {', '.join(suffix[1:].upper() for suffix in SUFFIXES)}, as its suffix says"
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(str(path), found=f"a file ending in {path.suffix!r}", expected=expected)
    data = read_data(path, expected)
    if not data.strip():
        raise DataError(str(path), found="an empty file", expected=expected, hint="Replace or remove it.")
    try:
        data = _plain(data, kind)
        mesh = trimesh.load_mesh(io.BytesIO(data), file_type=kind, process=False, skip_materials=True)
        announced = _announced(data, kind, mesh)
        triangles = mesh.triangles
        if len(triangles) and mesh.faces.min() < 0:  # numpy would count from the last corner
            raise ValueError(f"a triangle with the corner {mesh.faces.min()}")
    except Exception as error:  # a damaged file makes readers raise anything, IndexError and NameError among them
        found = f"a damaged or unreadable file ({str(error) or type(error).__name__})"
        raise DataError(str(path), found=found, expected=expected, hint="Replace or remove it.") from error
    if len(triangles) < announced:
        found = f"{len(triangles)} triangles of {announced} or more that it announces"
        raise DataError(str(path), found=found, expected=expected, hint="It is cut off: replace or remove it.")
    _check_triangles(triangles, path)
    return mesh


def _plain(data: bytes, kind: str) -> bytes:
    """Remove from a text file what trimesh misreads: comments, and corners of OBJ that are relative to their line."""
    if kind not in ("off", "obj"):
        return data
    data = re.sub(rb"#[^\r\n]*", b"", data)
    if kind == "off":
        return data
    corners, lines = 0, []
    data = data.replace(b"\t", b" ")  # trimesh looks for a space behind the key
    for line in data.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").splitlines():
        key, *cells = line.split() or [b""]
        if key == b"v":
            corners += 1
        elif key == b"f":
            numbers = [int(cell.partition(b"/")[0]) for cell in cells]
            if min(numbers, default=1) < 1:
                numbers = [_absolute(number, corners) for number in numbers]
            line = b" ".join([b"f", *(b"%d" % number for number in numbers)])
        lines.append(line)
    return b"\n".join(lines) + (b"\n" if data.endswith((b"\n", b"\r")) else b"")


def _absolute(corner: int, before: int) -> int:
    """Return the number of an OBJ corner, from 1. A negative one counts back from the corners before its line."""
    absolute = corner + before + 1 if corner < 0 else corner
    if absolute < 1:
        raise ValueError(f"the corner {corner} after {before} corners")
    return absolute


def _announced(data: bytes, kind: str, mesh: trimesh.Trimesh) -> int:
    """Return the least number of triangles that the file announces. trimesh accepts text files that end early."""
    if kind == "stl":
        return len(re.findall(rb"facet\s+normal", data, re.IGNORECASE))  # a binary file has its size checked
    if kind == "obj":  # OBJ does not announce the number of polygons
        rows = [line.split() for line in data.split(b"\n")]
        lengths = [len(corners) for key, *corners in filter(None, rows) if key == b"f"]
        cut_off = rows[-1][:1] == [b"f"] and lengths[-1] < 3  # its line has no end
        return sum(max(0, length - 2) for length in lengths) + cut_off  # faces of two corners are lines
    if kind == "ply":
        sizes, polygons = _polygons_of_ply(data, mesh.metadata["_ply_raw"])
    else:
        lines = [line for line in data.partition(b"OFF")[2].splitlines() if line.strip()]
        corners, polygons = map(int, lines[0].split()[:2])  # many of ModelNet's have no line break after OFF
        sizes = [int(line.split(None, 1)[0]) for line in lines[1 + corners :][:polygons]]
    return sum(max(0, size - 2) for size in sizes) + polygons - len(sizes)


def _polygons_of_ply(data: bytes, elements: Mapping[str, Any]) -> tuple[Sequence[int], int]:
    """Return the sizes of the polygons in the body of a PLY file, and the number of polygons in its header."""
    polygons = elements["face"]["length"] if "face" in elements else 0
    if not polygons:
        return [], 0
    properties, read = elements["face"]["properties"], elements["face"]["data"]
    name = next(name for name in ("vertex_index", "vertex_indices", *properties) if name in properties)
    if isinstance(read, np.ndarray):  # a binary file, which trimesh reads as if all polygons were like the first
        sizes, first = read[name]["f0"], read[name]["f1"].shape[1]
        if (sizes != first).any():
            raise ValueError("polygons of different sizes in a binary file")
        return sizes.tolist(), polygons
    before = sum(
        element["length"] for element in takewhile(lambda element: element is not elements["face"], elements.values())
    )
    rows = data[data.index(b"end_header") :].splitlines()[1 + before :][:polygons]
    return [_size(row.split(), properties, name) for row in rows], polygons


def _size(cells: Sequence[bytes], properties: Mapping[str, str], name: str) -> int:
    """Return the length of the list `name` in a row of an ASCII PLY file with these properties."""
    position = 0
    for key in takewhile(lambda key: key != name, properties):
        position += 1 + (int(cells[position]) if "$LIST" in properties[key] else 0)
    return int(cells[position])


def _check_triangles(triangles: np.ndarray, path: Path) -> None:
    if not len(triangles):
        raise DataError(
            str(path),
            found="no triangle",
            expected="a surface",
            hint="Points without faces are not a mesh; if there should be faces, the file is cut off.",
        )
    if not np.abs(triangles).max() <= np.finfo(np.float32).max:
        raise DataError(str(path), found="corners that are NaN or infinite in float32", expected="finite numbers")
    edges = triangles[:, 1:] - triangles[:, :1]
    if not np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=-1).sum() > 0:
        raise DataError(str(path), found="triangles of no area", expected="a surface", hint="Replace or remove it.")
