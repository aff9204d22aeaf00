"""Mesh files, opened with care."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import trimesh

from itnet_core import DataError

SUFFIXES = (".obj", ".off", ".ply", ".stl")
"""Of the files that are taken for meshes; the suffix decides how a file is read."""


def open_mesh(path: Path) -> trimesh.Trimesh:
    """Return the triangles of a mesh file; polygons of more corners are divided.

    What the file refers to (materials, textures) is not looked for: the reader gets the file's bytes, and nothing to
    open others with.

    Raises:
        DataError: there is no such file, it is empty, truncated, of another format, has no triangle, no area, or a
            corner that is NaN or infinite.
    """
    kind = path.suffix.lower().removeprefix(".")
    expected = f"a whole mesh in {', '.join(suffix[1:].upper() for suffix in SUFFIXES)}, as its suffix says"
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(str(path), found=f"a file ending in {path.suffix!r}", expected=expected)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(str(path), found="no such file", expected=expected) from None
    if not data.strip():
        raise DataError(str(path), found="an empty file", expected=expected, mend="Replace or remove it.")
    try:
        mesh = trimesh.load_mesh(io.BytesIO(data), file_type=kind, process=False, skip_materials=True)
        announced = _announced(data, kind, mesh)
        triangles = mesh.triangles
    except Exception as error:  # a damaged file makes readers raise anything, IndexError and NameError among them
        found = f"a damaged or unreadable file ({str(error) or type(error).__name__})"
        raise DataError(str(path), found=found, expected=expected, mend="Replace or remove it.") from error
    if len(triangles) < announced:
        found = f"{len(triangles)} triangles of {announced} or more that it announces"
        raise DataError(str(path), found=found, expected=expected, mend="It is cut off: replace or remove it.")
    _check_triangles(triangles, path)
    return mesh


def _announced(data: bytes, kind: str, mesh: trimesh.Trimesh) -> int:
    """Return how many triangles there must be at least. trimesh reads what there is of files of text that end early."""
    if kind == "off":
        text = re.sub(rb"#[^\n]*", b"", data)
        counts = re.search(rb"OFF\s*\d+\s+(\d+)", text)  # many of ModelNet's have no line break after OFF
        return int(counts[1]) if counts else 0
    if kind == "ply":
        elements = mesh.metadata["_ply_raw"]
        return elements["face"]["length"] if "face" in elements else 0
    if kind == "stl" and data.lstrip().startswith(b"solid"):
        return data.count(b"facet normal")  # a binary file has its size checked; it may begin so too
    return 0


def _check_triangles(triangles: np.ndarray, path: Path) -> None:
    if not len(triangles):
        raise DataError(
            str(path),
            found="no triangle",
            expected="a surface",
            mend="Points without faces are no mesh; if there should be faces, the file is cut off.",
        )
    if not np.isfinite(triangles).all():
        raise DataError(str(path), found="corners that are NaN or infinite", expected="finite numbers")
    edges = triangles[:, 1:] - triangles[:, :1]
    if not np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=-1).sum() > 0:
        raise DataError(str(path), found="triangles of no area", expected="a surface", mend="Replace or remove it.")
