"""Twelve kinds of furniture among Sweet Home 3D's catalogues, by what their names say."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CLASSES = {
    "chair": "chair|armchair",
    "table": "table",
    "lamp": "lamp",
    "cabinet": "cabinet",
    "sofa": "sofa|couch",
    "bed": "bed",
    "desk": "desk",
    "door": "door",
    "window": "window",
    "plant": "plant",
    "bottle": "bottle",
    "light": "light|lights|spotlight|flashlight",
}
"""The words of a name that say its class; a name with words of several is of the first (a desk lamp is a lamp)."""

PROPERTIES = "PluginFurnitureCatalog.properties"


NOTE = """Meshes of Sweet Home 3D's furniture catalogues: those whose names say one of twelve classes.

Source: Debian's package sweethome3d-furniture, whose copyright file has the licences in full; upstream is
http://www.sweethome3d.com/importModels.jsp. The meshes are as they are in the catalogues, without materials.
BlendSwap-CC-0: CC0. BlendSwap-CC-BY, Scopia: CC-BY-3.0. KatorLegaz, Reallusion: CC-BY-3.0-US.

The files, their names in the catalogues, and who made them:
"""


def write(source: Path, target: Path) -> None:
    """Write `target/<class>/<catalogue>-<model>.obj` for the pieces that are of a class, and a licence note.

    Args:
        source: the folder of the catalogues, `usr/share/sweethome3d/furniture` of the package.
        target: the folder to write to.

    Raises:
        FileNotFoundError: there is no catalogue.
    """
    catalogues = sorted(source.glob("*.sh3f"))
    if not catalogues:
        raise FileNotFoundError(f"{source}: found no catalogue; expected *.sh3f of the package sweethome3d-furniture")
    makers = []
    for path in catalogues:
        with zipfile.ZipFile(path) as catalogue:
            for piece in _pieces(catalogue.read(PROPERTIES).decode("latin-1")):
                kind = class_of(piece["name"])
                if kind is not None:
                    file = target / kind / f"{path.stem.lower()}-{PurePosixPath(piece['model']).stem}.obj"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(catalogue.read(piece["model"].lstrip("/")))
                    author = piece.get("creator", "unknown")
                    makers.append(f"{file.relative_to(target)}: {piece['name']}, by {author}, in {path.stem}")
    (target / "LICENCE.txt").write_text(NOTE + "\n".join(makers) + "\n", encoding="utf-8")


def class_of(name: str) -> str | None:
    """Return the class whose words the name of a piece contains, if there is one."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    return next((kind for kind, names in CLASSES.items() if words & set(names.split("|"))), None)


def _pieces(properties: str) -> Iterator[dict[str, str]]:
    """Yield the entries of each piece of a catalogue: of `name#7=Desk lamp` and `model#7=/scopia/lamp.obj`, both."""
    pieces: dict[str, dict[str, str]] = {}
    for entry, number, value in re.findall(r"^(\w+)#(\d+)\s*=\s*(.*?)\s*$", properties, re.MULTILINE):
        pieces.setdefault(number, {})[entry] = value
    yield from (piece for piece in pieces.values() if "name" in piece and "model" in piece)
