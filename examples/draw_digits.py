"""Load a checkpoint trained on images, predict some of the test split, and draw them next to the learned kernels.

python examples/draw_digits.py demo/digits/best demo/digits.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import Field, ITNetModel
from itnet_registry import create, load_model

matplotlib.use("Agg")
from matplotlib import pyplot

IMAGES, QUERIES, HEADS, FINE = 12, 3, 4, 48


@torch.no_grad()
def kernel_images(model: ITNetModel, image: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Return k_h(x, y) over a fine grid of y around some query points x, and the query points.

    The field is known at the encoder's points; between them its values are interpolated, as the operator is defined for
    every point of the domain.

    Returns:
        Kernels of shape (QUERIES, HEADS, FINE, FINE), and the queries' (x, y), shape (QUERIES, 2).
    """
    field = model.encoders["image"](image.unsqueeze(0))
    for earlier in model.trunk.blocks[:block]:
        field = earlier(field)
    layer: Any = model.trunk.blocks[block]
    field = field.map(layer.norm)
    rows, columns = field.grid
    values = field.values.view(1, rows, columns, -1).permute(0, 3, 1, 2)
    fine = F.interpolate(values, size=(FINE, FINE), mode="bilinear").permute(0, 2, 3, 1)
    kernel = layer.operator.kernel
    chosen = [
        rows // 4 * columns + columns // 4,
        rows // 2 * columns + columns // 2,
        (rows - 1) * columns + columns // 4,
    ]
    query = Field(field.values[:, chosen], field.positions[:, chosen])
    k = kernel(*kernel.project(query, Field.on_grid(fine, axes="yx")))
    return k[0, :HEADS].transpose(0, 1).unflatten(-1, (FINE, FINE)), query.positions[0, :, 1:3]


def main(checkpoint: Path, out: Path) -> None:
    """Predict and draw."""
    model = load_model(checkpoint).eval()
    config = model.config or {}
    task = create("task", **config["tasks"]["image"])
    samples = [task.dataset("test")[i] for i in range(IMAGES)]
    batch = task.collate(samples)
    with torch.no_grad():
        predictions = task.describe(model(batch.inputs))
    figure = pyplot.figure(figsize=(12, 9), layout="constrained")
    images, kernels = figure.subfigures(2, 1, height_ratios=[1, 2], squeeze=False).flat
    images.suptitle("test images and predictions")
    for axis, image, record, target in zip(
        images.subplots(2, IMAGES // 2).flat, batch.inputs, predictions, batch.targets, strict=True
    ):
        right = str(record["label"]) == str(int(target))
        axis.imshow(image[0], cmap="gray_r")
        axis.set_title(f"{record['label']} ({record['probability']:.0%})", color="black" if right else "red")
        axis.axis("off")
        print(f"predicted {record['label']} with probability {record['probability']:.2f}, labelled {int(target)}")
    images, queries = kernel_images(model, batch.inputs[0], block=0)
    kernels.suptitle("k_h(x, y) of the first block over y, around three query points x (+)")
    for row, axes in enumerate(kernels.subplots(QUERIES, HEADS)):
        for head, axis in enumerate(axes):
            bound = images[:, head].abs().max()
            axis.imshow(images[row, head], extent=(-1, 1, 1, -1), cmap="RdBu_r", vmin=-bound, vmax=bound)
            axis.plot(*queries[row], "k+", markersize=12)
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(f"head {head}")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"wrote {out}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
