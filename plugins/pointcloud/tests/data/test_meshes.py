from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from itnet_core import DataError
from itnet_pointcloud.data.meshes import open_mesh

BOX = trimesh.creation.box()
CORNERS = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"


def exported(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    data = BOX.export(file_type=kind, **options)
    file.write(data.encode() if isinstance(data, str) else data)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".off", ".obj", ".ply", ".stl", ".OBJ"])
def test_every_format_gives_the_same_surface(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"box{suffix}"
    path.write_bytes(exported(suffix[1:].lower()))
    mesh = open_mesh(path)
    assert mesh.area == pytest.approx(6)
    assert len(mesh.triangles) == 12


def test_formats_of_text_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "box.stl").write_bytes(exported("stl_ascii"))
    (tmp_path / "box.ply").write_bytes(exported("ply", encoding="ascii"))
    assert open_mesh(tmp_path / "box.stl").area == pytest.approx(open_mesh(tmp_path / "box.ply").area)


@pytest.mark.parametrize("header", ["OFF490 518 0", "OFF\n490 518 0", "OFF\n# a remark\n\n490 518 0", "OFF 490 518 0"])
def test_the_headers_of_modelnet_are_read(header: str, tmp_path: Path) -> None:
    """Many of its files have no line break after OFF."""
    random = np.random.default_rng(0)
    corners = "\n".join(" ".join(map(str, row)) for row in random.normal(size=(490, 3)))
    faces = "\n".join(f"3 {i % 490} {(i + 1) % 490} {(i + 7) % 490}" for i in range(518))
    path = tmp_path / "chair_0001.off"
    path.write_text(f"{header}\n{corners}\n{faces}\n")
    assert len(open_mesh(path).triangles) == 518


def test_polygons_are_divided(tmp_path: Path) -> None:
    path = tmp_path / "square.off"
    path.write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
    assert open_mesh(path).area == pytest.approx(1)


def test_files_that_a_mesh_refers_to_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box.mtl").write_text("newmtl red\nmap_Kd image.png\n")
    path = tmp_path / "box.obj"
    path.write_text(f"mtllib box.mtl\nmtllib /etc/hostname\nusemtl red\n{CORNERS}f 1 2 3\n")
    other = tmp_path / "box.ply"
    other.write_bytes(exported("ply", encoding="ascii").replace(b"element", b"comment TextureFile box.mtl\nelement", 1))
    opened: list[str] = []
    original = io.open

    def recording(file: object, *arguments: object, **options: Any) -> object:
        opened.append(str(file))
        return original(file, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", recording)
    monkeypatch.setattr("io.open", recording)
    open_mesh(path)
    open_mesh(other)
    assert {Path(name) for name in opened if str(tmp_path) in name or "etc" in name} <= {path, other}


def binary_stl(triangles: int) -> bytes:
    return b"\0" * 80 + struct.pack("<I", triangles) + b"\0" * 50


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.off", b"", "an empty file"),
        ("a.obj", b"  \n", "an empty file"),
        ("a.off", b"\x89PNG\r\n\x1a\n", "a damaged or unreadable file"),
        ("a.ply", b"no mesh", "a damaged or unreadable file"),
        ("a.stl", b"no mesh", "no triangle"),
        ("a.obj", b"no mesh", "no triangle"),
        ("a.off", exported("off")[:60], "a damaged or unreadable file"),
        ("a.off", exported("off")[:-20], "9 triangles of 12 or more"),
        ("a.ply", exported("ply")[:-7], "a damaged or unreadable file"),
        ("a.ply", exported("ply", encoding="ascii")[:-20], "triangles of 12 or more"),
        ("a.stl", exported("stl")[:-7], "no triangle"),
        ("a.stl", binary_stl(2), "no triangle"),
        ("a.stl", exported("stl_ascii")[:-200], "0 triangles of 11 or more"),
        ("a.obj", CORNERS.encode(), "no triangle"),
        ("a.obj", f"{CORNERS}f 1 2 9\n".encode(), "a damaged or unreadable file"),
        ("a.obj", f"{CORNERS}f 1 2 2\n".encode(), "triangles of no area"),
        ("a.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "corners that are NaN or infinite"),
        ("a.obj", b"v 1e999 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "corners that are NaN or infinite"),
        ("a.glb", b"glTF", "a file ending in '.glb'"),
    ],
)
def test_what_is_no_sound_mesh_is_refused_by_name(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{name}: found .*{message}"):
        open_mesh(tmp_path / name)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.off: found no such file"):
        open_mesh(tmp_path / "nowhere.off")
