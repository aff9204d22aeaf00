from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from itnet_core import DataError
from itnet_pointcloud.data.meshes import open_mesh
from itnet_pointcloud.data.surface import sample_surface, to_unit_sphere

CORNERS = [(x, y, z) for z in (0, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
QUADS = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
TRIANGLES = [item for a, b, c, d in QUADS for item in ((a, b, c), (a, c, d))]
POINTS = "".join(f"{x} {y} {z}\n" for x, y, z in CORNERS)
Polygons = Sequence[Sequence[int]]


def rows(polygons: Polygons) -> str:
    return "".join(f"{len(polygon)} {' '.join(map(str, polygon))}\n" for polygon in polygons)


def off(polygons: Polygons) -> bytes:
    return f"OFF\n8 {len(polygons)} 0\n{POINTS}{rows(polygons)}".encode()


def ply(polygons: Polygons, form: str = "ascii", extra: str = "") -> bytes:
    head = (
        f"ply\nformat {form} 1.0\nelement vertex 8\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(polygons)}\n{extra}property list uchar int vertex_indices\nend_header\n"
    ).encode()
    if form == "ascii":
        return head + POINTS.encode() + rows(polygons).encode()
    order = ">" if "big" in form else "<"
    points = b"".join(struct.pack(f"{order}3f", *corner) for corner in CORNERS)
    return head + points + b"".join(struct.pack(f"{order}B{len(p)}i", len(p), *p) for p in polygons)


def binary_stl() -> bytes:
    facets = (np.float32([CORNERS[corner] for corner in triangle]).tobytes() for triangle in TRIANGLES)  # type: ignore[arg-type]
    return b"solid box".ljust(80) + struct.pack("<I", 12) + b"".join(bytes(12) + facet + bytes(2) for facet in facets)


def stl(name: str, triangles: Polygons) -> bytes:
    facets = (
        "facet normal 0 0 0\nouter loop\n"
        + "".join("vertex {} {} {}\n".format(*CORNERS[corner]) for corner in triangle)
        + "endloop\nendfacet\n"
        for triangle in triangles
    )
    return f"solid {name}\n{''.join(facets)}endsolid {name}\n".encode()


WHOLE = {
    "quads.off": off(QUADS),
    "mixed.off": off([*QUADS[:3], *TRIANGLES[6:]]),
    "triangles.off": off(TRIANGLES),
    "quads.ply": ply(QUADS),
    "mixed.ply": ply([*QUADS[:3], *TRIANGLES[6:]]),
    "flagged.ply": ply(QUADS, extra="property uchar flag\n").replace(b"\n4 ", b"\n7 4 "),
    "little.ply": ply(QUADS, "binary_little_endian"),
    "big.ply": ply(QUADS, "binary_big_endian"),
    "binary.stl": binary_stl(),
    "text.stl": stl("box", TRIANGLES),
    "upper.stl": stl("box", TRIANGLES).upper(),
    "two.stl": stl("a", TRIANGLES[:6]) + stl("b", TRIANGLES[6:]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_off_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    path, data = tmp_path / name, WHOLE[name]
    path.write_bytes(data)
    assert open_mesh(path).area == pytest.approx(6)
    end = len(data.rstrip()) - len("endsolid a") * name.startswith(("text", "upper", "two"))
    for kept in {*range(0, end, 37), *range(end - 12, end)}:
        if name == "two.stl" and data[:kept].rstrip().endswith(b"endsolid a"):
            continue  # a whole solid
        path.write_bytes(data[:kept])
        with pytest.raises(DataError, match=name):
            open_mesh(path)


def test_a_missing_quad_counts_as_a_triangle_at_least(tmp_path: Path) -> None:
    for name, data in (("a.off", off(QUADS)), ("a.ply", ply(QUADS))):
        (tmp_path / name).write_bytes(b"\n".join(data.split(b"\n")[:-4]))
        with pytest.raises(DataError, match="found 6 triangles of 9 or more that it announces"):
            open_mesh(tmp_path / name)


@pytest.mark.parametrize("polygons", [QUADS, TRIANGLES])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0\n", "0 # made by 4 me 3\n"),
        (POINTS, f"# 3 0 1 2\n{POINTS}"),
        ("1 1 1\n", "1 1 1 # top\n"),
        (rows(QUADS[1:2]), f"{rows(QUADS[1:2])}# sides 4 0 1 2 3\n\n"),
        (rows(TRIANGLES[1:2]), f"{rows(TRIANGLES[1:2]).rstrip()}#\r\n"),
    ],
)
def test_comments_change_nothing(old: str, new: str, polygons: Polygons, tmp_path: Path) -> None:
    (tmp_path / "a.off").write_bytes(off(polygons).replace(old.encode(), new.encode(), 1))
    assert open_mesh(tmp_path / "a.off").area == pytest.approx(6)


def obj(corner: str, *, between: bool) -> str:
    """Two tetrahedra, one twice as large, whose corners are written by a format of (absolute, relative, seen)."""
    one, two = ([(x + 10 * (s - 1), s * y, s * z) for x, y, z in np.eye(4, 3)] for s in (1, 2))
    lines = [[f"v {x} {y} {z}" for x, y, z in part] for part in (one, two)]
    faces = []
    for first, seen in ((1, 4 if between else 8), (5, 8)):
        for face in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)):
            cells = (corner.format(first + i, first + i - seen - 1) for i in face)
            faces.append(f"f {' '.join(cells)} # {seen}")
    parts = [lines[0], ["vn 0 0 1", "vt 0 0"], faces[:4], lines[1], faces[4:]]
    order = parts if between else [parts[0], parts[1], parts[3], parts[2], parts[4]]
    return "\n".join(line for part in order for line in part)


@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize("corner", ["{1}", "{1}//-1", "{1}/-1", "{1}/-1/-1"])
def test_relative_corners_of_obj_count_back_from_their_own_line(corner: str, between: bool, tmp_path: Path) -> None:
    for name, text in (("relative", obj(corner, between=between)), ("absolute", obj("{0}", between=between))):
        (tmp_path / f"{name}.obj").write_text(text)
    relative, absolute = (open_mesh(tmp_path / f"{name}.obj") for name in ("relative", "absolute"))
    np.testing.assert_array_equal(relative.triangles, absolute.triangles)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf -4 -2 -1\nv 1 1 1\n", "the corner -4 after 3 corners"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "the corner 0"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1", "1 triangles of 2 or more"),
        ("a.ply", ply([*QUADS[:5], (3, 0, 4, -1)]), "the corner -1"),
        (
            "a.ply",
            ply([(0, 1, 2, 3), (0, 1, 2), (0, 1, 2, 3, 4)], "binary_little_endian"),
            "polygons of different size",
        ),
    ],
)
def test_corners_that_are_not_there_are_refused(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        open_mesh(tmp_path / name)


@pytest.mark.parametrize("name", ["a.off", "a.obj", "a.ply", "a.stl"])
def test_corners_beyond_float32_are_refused(name: str, tmp_path: Path) -> None:
    faces = "".join(f"f {' '.join(str(corner + 1) for corner in face)}\n" for face in QUADS)
    points = "".join(f"v {line}\n" for line in POINTS.splitlines())
    data = {"off": off(QUADS), "obj": (points + faces).encode(), "ply": ply(QUADS), "stl": stl("box", TRIANGLES)}
    data["ply"] = data["ply"].replace(b"property float", b"property double")
    (tmp_path / name).write_bytes(data[name[2:]].replace(b"1 1 1\n", b"1e39 1 1\n"))
    with pytest.raises(DataError, match="NaN or infinite in float32"):
        open_mesh(tmp_path / name)


@pytest.mark.parametrize("size", [1e-37, 1e-12, 1.0, 1e12, 3e38])
def test_a_cloud_of_any_size_in_float32_fills_the_unit_sphere(size: float, tmp_path: Path) -> None:
    points = "".join(f"{size * x} {size * y} {size * z}\n" for x, y, z in CORNERS)
    (tmp_path / "a.off").write_bytes(off(QUADS).replace(POINTS.encode(), points.encode()))
    cloud = to_unit_sphere(sample_surface(tmp_path / "a.off", 500))
    torch.testing.assert_close(cloud.positions.norm(dim=1).max(), torch.tensor(1.0))
    assert cloud.positions.abs().mean().item() == pytest.approx(0.37, abs=0.05)


@pytest.mark.parametrize("space", [b"\t", b"  ", b" \t "])
def test_any_white_space_separates_what_obj_has_on_a_line(space: bytes, tmp_path: Path) -> None:
    plain = obj("{0}", between=False).encode()
    for name, data in (("plain", plain), ("other", plain.replace(b" ", space).replace(b"\n", b" \n"))):
        (tmp_path / f"{name}.obj").write_bytes(data)
    actual, expected = (open_mesh(tmp_path / f"{name}.obj") for name in ("other", "plain"))
    assert (actual.area, len(actual.faces)) == (expected.area, len(expected.faces))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_faces_of_two_corners_are_lines_that_have_no_area(end: bytes, tmp_path: Path) -> None:
    """Exported models have them among their faces, and at their end."""
    path = tmp_path / "a.obj"
    path.write_bytes(end.join([b"v 0 0 0", b"v 1 0 0", b"v 0 1 0", b"f 1 2", b"f 1 2 3", b"f 3 1", b""]))
    assert open_mesh(path).area == 0.5
