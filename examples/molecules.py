"""Write the molecules of an SD file as graphs, in the JSON lines that the task `graph-file` reads.

A node is an atom: its element, one of ten, its number of hydrogens, and its charge. An edge is a bond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

ELEMENTS = ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
VALENCES = {
    "C": (4,),
    "N": (3, 5),
    "O": (2,),
    "P": (3, 5),
    "S": (2, 4, 6),
    "F": (1,),
    "Cl": (1,),
    "Br": (1,),
    "I": (1,),
}


def write(source: Path, target: Path) -> None:
    """Write the molecules of a file, with the logarithm of their solubility in mol/l and its class."""
    blocks = source.read_text(encoding="utf-8").split("$$$$\n")
    lines = [json.dumps(record) for block in blocks if block.strip() for record in records(block)]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def records(block: str) -> Iterator[dict[str, Any]]:
    """Yield the graph of a molecule in the format V2000."""
    lines = block.split("\n")
    atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
    elements = [line.split()[3] for line in lines[4 : 4 + atoms]]
    edges = [(int(line[:3]) - 1, int(line[3:6]) - 1, int(line[6:9])) for line in lines[4 + atoms : 4 + atoms + bonds]]
    charges, used = [0] * atoms, [0] * atoms
    for line in lines:
        if line.startswith("M  CHG"):
            numbers = list(map(int, line.split()[3:]))
            for atom, charge in zip(numbers[::2], numbers[1::2], strict=True):
                charges[atom - 1] = charge
    for first, second, order in edges:
        used[first] += order
        used[second] += order
    nodes = []
    for element, charge, bonded in zip(elements, charges, used, strict=True):
        kinds = [int(element == known) for known in ELEMENTS]
        free = (valence + charge - bonded for valence in VALENCES.get(element, ()))
        nodes.append([*kinds, 1 - sum(kinds), next((number for number in free if number >= 0), 0), charge])
    properties = {name: value for name, value in pairwise(lines) if name.startswith(">")}
    value = {name.split("<")[1].split(">")[0]: text for name, text in properties.items()}
    yield {
        "nodes": nodes,
        "edges": [[first, second] for first, second, _ in edges],
        "solubility": float(value["SOL"]),
        "class": value["SOL_classification"].split(" ", 1)[1],
    }
