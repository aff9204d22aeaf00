"""Train a small model of each modality, explain it, and write the gallery of the documentation.

Run `python examples/fetch_data.py series furniture languages easy-vqa`, then `python examples/gallery.py` (about 20
minutes of one core). Models that are in runs/gallery/ already are not trained again, and `--only NAME` trains one. The
figures go to docs/images/gallery/, the page to docs/gallery.md, both with the models that are trained so far.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from base64 import b64decode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from itnet_explain import Explained, KernelExplanation, Maps, explain_checkpoint

ROOT = Path(__file__).parent.parent
RUNS, IMAGES, PAGE = ROOT / "runs/gallery", ROOT / "docs/images/gallery", ROOT / "docs/gallery.md"
SHOWN = 4
"""Panels of a figure."""
MOST_LABELS = 64


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
    "image-text": Model("Image with text: questions about shapes", "easy_vqa", ("train.epochs=1",)),
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
    if not (run / "metrics.json").is_file():
        model = MODELS[name]
        command = [sys.executable, "-m", "itnet_registry", "train", f"examples/{model.config}.yaml", *model.overrides]
        subprocess.run([*command, "train.accelerator=cpu", "--overwrite", "--output", str(run)], cwd=ROOT, check=True)
    found = explain_checkpoint(run / "best", samples=8, ablation=100)
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw(found, IMAGES / f"{name}.png")
    scores = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test"]
    (run / "shows.json").write_text(json.dumps({"scores": scores, "shows": describe(found)}), encoding="utf-8")


def describe(found: Explained) -> str:
    """Return two sentences on what a model shows, in numbers."""
    layers = [layer for layer in found.explanation.layers if layer.heads and layer.heads[0].shares]
    heads = [head for layer in found.explanation.layers for head in layer.heads]
    closest = max(heads, key=lambda head: max(head.equals.values(), default=0.0))
    families = [max(head.equals, key=lambda family: head.equals[family]) for head in heads if head.equals]
    common = max(set(families), key=families.count)
    nearest = (
        f"the nearest of the four known operators is {common} for {families.count(common)} of {len(families)} heads"
    )
    first = f"{nearest[0].upper()}{nearest[1:]}, and the closest head is {closest.summary}"
    if layers:
        shares = [f"{share(layers[0], 'position'):.0%}", f"{share(layers[-1], 'position'):.0%}"]
        first = f"Position alone makes {shares[0]} of the first kernel and {shares[1]} of the last; {nearest}"
    scores = found.explanation.ablation
    if not scores:
        return f"{first}. The closest head is {closest.summary}." if layers else f"{first}."
    metric = next(iter(scores["everything"]))
    values = {kept: scores[kept][metric] for kept in ("everything", "position alone", "content alone")}
    return (
        f"{first}. On 100 test samples the {metric.replace('_', ' ')} is {values['everything']:.3f} with everything, "
        f"{values['position alone']:.3f} with position alone and {values['content alone']:.3f} with content alone."
    )


def share(layer: KernelExplanation, part: str) -> float:
    """Return the mean share of a part over the heads of a kernel."""
    return sum(max(head.shares[part], 0.0) for head in layer.heads) / len(layer.heads)


def draw(found: Explained, file: Path) -> None:
    """Draw what heads of blocks from the first to the last read around the middle query point of a sample."""
    layers = [layer for layer in found.explanation.layers if layer.maps]
    steps = torch.linspace(0, len(layers) - 1, min(SHOWN, len(layers))).round().long().tolist()
    figure = Figure(figsize=(2.4 * len(steps), 2.7), layout="constrained")
    for number, step in enumerate(steps):
        layer = layers[step]
        head = max(range(len(layer.heads)), key=lambda head: layer.heads[head].shares.get("interaction", 0.0))
        item = layer.maps[0]
        cloud = _varying(item) == 3
        axes = figure.add_subplot(1, len(steps), number + 1, projection="3d" if cloud else None)
        _draw_map(axes, item, head, found)
        axes.set_title(f"{layer.path.removesuffix('.operator').removeprefix('trunk.')}, head {head}", fontsize=8)
        axes.tick_params(labelsize=6)
    figure.savefig(file, dpi=110)


def _varying(item: Maps) -> int:
    """Return the number of coordinates in which the points differ."""
    return int((item.key_positions.amax(0) - item.key_positions.amin(0) > 1e-6).sum())


def _draw_map(axes: Any, item: Maps, head: int, found: Explained) -> None:
    """Draw the weights of the key points: an image, a cloud, or bars in time."""
    row = len(item.queries) // 2
    weights = item.weights[head, row]
    inside = item.key_positions.amax(0) - item.key_positions.amin(0) > 1e-6
    places = item.key_positions[:, inside] if inside.any() else torch.arange(len(weights))[:, None].float()
    query = item.query_positions[item.queries[row]][inside] if inside.any() else None
    limit = float(weights.abs().max()) or 1.0
    colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    image = found.images.get(item.sample)
    if item.grid is not None and len(item.grid) == 2 and image is not None:
        pixels = imread(BytesIO(b64decode(image.partition(",")[2])), format="png")
        axes.imshow(pixels, extent=(0, 1, 1, 0), cmap="gray")
        axes.imshow(weights.reshape(item.grid), extent=(0, 1, 1, 0), alpha=0.65, interpolation="nearest", **colours)
        axes.set_axis_off()
    elif places.shape[1] == 1:
        labels = found.labels.get(item.sample, [])
        axes.bar(range(len(weights)), weights, width=1.0)
        if 0 < len(labels) <= MOST_LABELS:
            axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=3)
    else:
        axes.scatter(*places.T[:3], c=weights, s=14, edgecolors="0.7", linewidths=0.3, **colours)
        if query is not None:
            axes.scatter(*query[:3, None], marker="x", s=40, c="black")


def write_page() -> None:
    """Write the page with all models that are trained and explained."""
    parts = [HEAD]
    for name, model in MODELS.items():
        file = RUNS / name / "shows.json"
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            scores = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in found["scores"].items())
            command = f"itnet train examples/{model.config}.yaml {' '.join(model.overrides)}"
            parts.append(
                f"## {model.title}\n\n![Weights of four heads around one point](images/gallery/{name}.png)\n\n"
                f"{found['shows']}\n\nTrained by `{command}`; on the test split: {scores}.\n"
            )
    PAGE.write_text("\n".join(parts), encoding="utf-8")


HEAD = """# Gallery

Small models, one a modality, trained for a few minutes on one core, and [explained](guides/explain.md). Each figure
shows the weights with which heads, from the first block to the last, read the points of a test sample around one query
point: the head of each block whose kernel owes most to position and content together. `python examples/gallery.py`
trains the models, draws the figures and writes this page, numbers included.
"""

if __name__ == "__main__":
    main()
