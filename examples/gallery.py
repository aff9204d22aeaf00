"""Train a small model of each modality, explain it, and write the gallery of the documentation.

Run `python examples/fetch_data.py series furniture languages easy-vqa`, then `python examples/gallery.py` (about 20
minutes of one core). Models that are in runs/gallery/ already are not trained again; `--only NAME` trains one. The
figures go to docs/images/gallery/, the page to docs/gallery.md, which lists the models that are trained so far.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from torch import Tensor

from itnet_explain import Explained, HeadExplanation, KernelExplanation, Maps, explain_checkpoint

ROOT = Path(__file__).parent.parent
RUNS, IMAGES, PAGE = ROOT / "runs/gallery", ROOT / "docs/images/gallery", ROOT / "docs/gallery.md"
PANELS = 4
"""Largest number of panels of a figure."""
SAMPLES = 100
"""Test samples for the scores without parts of the kernels."""
ALIKE = 0.9
"""Smallest share of a head's variance that a known operator explains if the head counts as one."""


@dataclass(frozen=True)
class Model:
    """A model of the gallery: a configuration of examples/, and fields that make it small."""

    title: str
    config: str
    overrides: tuple[str, ...]


MODELS = {
    "image": Model("Image: handwritten digits", "digits", ("train.epochs=20",)),
    "series": Model("Time series: nine speakers by two vowels", "japanese_vowels", ("train.epochs=12",)),
    "graph": Model("Graph: cycles and houses in random trees", "motifs", ("train.epochs=3",)),
    "text": Model("Text: recall of the values of keys", "associative_recall", ("task.training_samples=16000",)),
    "field": Model("Field: antiderivatives of random functions", "antiderivative", ("train.epochs=3",)),
    "image-text": Model("Image with text: questions about shapes", "easy_vqa", ("train.epochs=4",)),
    "point-cloud": Model("Point cloud: furniture", "furniture", ("train.epochs=8", "task.test_fold=0")),
    "audio": Model("Sound: telephone prompts in five languages", "languages", ("train.epochs=2",)),
}


def main() -> None:
    """Train, explain, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=MODELS, help="the modality of the one model to train")
    chosen = parser.parse_args().only
    for name in [chosen] if chosen else MODELS:
        make(name)
    write_page()


def make(name: str) -> None:
    """Train a model unless it is there, explain it, draw its figure and record what it shows."""
    run = RUNS / name
    if not (run / "provenance.txt").is_file():
        train(MODELS[name], run)
    found = explain_checkpoint(run / "best", samples=8, ablation=SAMPLES)
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw(found, IMAGES / f"{name}.png")
    (run / "shows.txt").write_text(describe(found), encoding="utf-8")


def train(model: Model, run: Path) -> None:
    """Train a model, and record the machine, the date and the commit."""
    command = [sys.executable, "-m", "itnet_registry", "train", f"examples/{model.config}.yaml", *model.overrides]
    subprocess.run([*command, "train.accelerator=cpu", "--overwrite", "--output", str(run)], cwd=ROOT, check=True)
    sys.path.append(str(ROOT / "benchmarks"))
    from provenance import provenance

    (run / "provenance.txt").write_text(provenance(), encoding="utf-8")


def describe(found: Explained) -> str:
    """Return two sentences on what a model shows, in numbers."""
    heads = [head for layer in found.explanation.layers for head in layer.heads if head.equals]
    alike = Counter(max(head.equals, key=lambda name: head.equals[name]) for head in heads if closeness(head) >= ALIKE)
    known = ", ".join(f"{count} {name}" for name, count in alike.most_common()) or "none"
    first = f"Of {len(heads)} heads, a known operator explains at least {ALIKE:.0%} of {sum(alike.values())} ({known})"
    layers = [layer for layer in found.explanation.layers if layer.heads and layer.heads[0].shares]
    if layers:
        shares = [f"{share(layer, 'position'):.0%}" for layer in (layers[0], layers[-1])]
        first += f"; position alone makes {shares[0]} of the first kernel and {shares[1]} of the last"
    scores = found.explanation.ablation
    if not scores:
        return f"{first}. The closest head is {max(heads, key=closeness).summary}."
    metric = next(iter(scores["everything"]))
    whole, *parts = (f"{scores[kept][metric]:.3f}" for kept in ("everything", "position alone", "content alone"))
    return (
        f"{first}. On at most {SAMPLES} test samples, the {metric.replace('_', ' ')} is {whole} with everything, "
        f"{parts[0]} with position alone and {parts[1]} with content alone."
    )


def closeness(head: HeadExplanation) -> float:
    """Return the share of a head's variance that the nearest known operator explains."""
    return max(head.equals.values())


def share(layer: KernelExplanation, part: str) -> float:
    """Return the mean share of a part over the heads of a kernel."""
    return sum(max(head.shares[part], 0.0) for head in layer.heads) / len(layer.heads)


def draw(found: Explained, file: Path) -> None:
    """Draw what heads of blocks from the first to the last read around the middle query point of a sample."""
    layers = [layer for layer in found.explanation.layers if layer.maps]
    steps = torch.linspace(0, len(layers) - 1, min(PANELS, len(layers))).round().long().tolist()
    figure = Figure(figsize=(2.4 * len(steps), 2.7), layout="constrained")
    for number, step in enumerate(steps, 1):
        layer = layers[step]
        head = max(range(len(layer.heads)), key=lambda head: layer.heads[head].shares.get("interaction", 0.0))
        item = layer.maps[0]
        solid = item.grid is None and int(moving(item).sum()) == 3
        axes = figure.add_subplot(1, len(steps), number, projection="3d" if solid else None)
        draw_map(axes, item, head, found.images.get(item.sample))
        axes.set_title(f"{layer.path.replace('.operator', '').removeprefix('trunk.')}, head {head}", fontsize=8)
        axes.tick_params(labelsize=6)
    figure.savefig(file, dpi=110)


def moving(item: Maps) -> Tensor:
    """Return which coordinates of the key points differ, (p,)."""
    return item.key_positions.amax(0) - item.key_positions.amin(0) > 1e-6


def draw_map(axes: Any, item: Maps, head: int, image: str | None) -> None:
    """Draw the weights of the key points, and mark the query point: on a grid, along a line, or in space."""
    row = len(item.queries) // 2
    query, weights = int(item.queries[row]), item.weights[head, row].numpy()
    limit = float(abs(weights).max()) or 1.0
    colors = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    mark = {"marker": "o", "s": 50, "facecolors": "none", "edgecolors": "black"}
    inside = moving(item)
    if item.grid is not None and len(item.grid) == 2:
        rows, columns = item.grid
        extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
        if image is not None:
            axes.imshow(imread(BytesIO(b64decode(image.partition(",")[2])), format="png"), extent=extent, cmap="gray")
        over = 1.0 if image is None else 0.65
        axes.imshow(weights.reshape(rows, columns), extent=extent, alpha=over, interpolation="nearest", **colors)
        axes.scatter(query % columns, query // columns, **mark)
        axes.set_aspect("auto")
        axes.set_axis_off()
    elif int(inside.sum()) <= 1:
        axes.bar(range(len(weights)), weights, width=1.0)
        axes.axvline(query, color="black", linewidth=0.6, linestyle=":")
    else:
        axes.scatter(
            *item.key_positions[:, inside].T.numpy(), c=weights, s=14, edgecolors="0.7", linewidths=0.3, **colors
        )
        axes.scatter(*item.query_positions[query, inside, None].numpy(), **mark)


def write_page() -> None:
    """Write the page of the models that are trained and explained."""
    parts = [HEAD]
    for name, model in MODELS.items():
        run = RUNS / name
        if not (run / "shows.txt").is_file():
            continue
        shows, trained = ((run / file).read_text(encoding="utf-8") for file in ("shows.txt", "provenance.txt"))
        measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        scores = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in measured["test"].items())
        command = f"itnet train examples/{model.config}.yaml {' '.join(model.overrides)}"
        parts.append(
            f"## {model.title}\n\n![Weights of heads around one point](images/gallery/{name}.png)\n\n{shows}\n\n"
            f"`{command}`, {measured['seconds']:.0f} s on {trained}; on the test split: {scores}.\n"
        )
    PAGE.write_text("\n".join(parts), encoding="utf-8")


HEAD = """# Gallery

Small models, one a modality, trained for some minutes on one core, and [explained](guides/explain.md). Each figure
shows the weights with which heads, from the first block to the last, read the points of a test sample. The query point
is marked, and the head is the one of its block whose kernel owes most to position and content together. Red adds, blue
subtracts. The known operators are convolution, attention, recurrence, and kernels of the distance.
`python examples/gallery.py` trains the models, draws the figures and writes this page, numbers included.
"""

if __name__ == "__main__":
    main()
