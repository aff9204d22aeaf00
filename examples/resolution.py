"""Use a CNN at resolutions that it was not trained at: taps in pixels, or in the units of the domain.

Run `python examples/fetch_data.py fashion-mnist`, then `python examples/resolution.py`, about a minute of one core.
A small CNN is trained on images of 28 × 28 pixels, converted by `convert_model`, and evaluated on the same test images
at 14 × 14 and 56 × 56 pixels. A convolution is an integral over the domain, so its kernel can be kept as it is where
the points become finer or coarser:

- pixels: the same taps, from pixel to pixel. The kernel shrinks with the pixels.
- domain, taps: the same taps at the same distances; between pixels the image is interpolated.
- domain, smooth: the taps are the values of a piecewise linear kernel, which is evaluated at all points in its reach.
- resized: the images are interpolated to 28 × 28 pixels, and the model is the trained one.
"""

from __future__ import annotations

import argparse
import gzip
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_kernels import convert_model

DATA = Path(__file__).parent.parent / "data"
TRAINED, SIZES = 28, (14, 28, 56)
MODES = "pixels", "domain, taps", "domain, smooth", "resized"


def images(data: Path, kind: str, count: int) -> tuple[Tensor, Tensor]:
    """Return images, (count, 1, 28, 28), and their classes."""
    pixels, classes = (
        numpy.frombuffer(gzip.decompress((data / f"fashion-mnist/{kind}-{name}-ubyte.gz").read_bytes()), numpy.uint8)
        for name in ("images-idx3", "labels-idx1")
    )
    batch = torch.tensor(pixels[16 : 16 + count * TRAINED**2]).view(count, 1, TRAINED, TRAINED)
    return (batch.float() - 73) / 90, torch.tensor(classes[8 : 8 + count]).long()


class Network(nn.Sequential):
    """Three convolutions, two average pools, and the mean over all points."""

    def __init__(self) -> None:
        convolutions = (nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 16), (16, 32), (32, 64)))
        first, second, third = (nn.Sequential(convolution, nn.ReLU()) for convolution in convolutions)
        pools = nn.AvgPool2d(2), nn.AvgPool2d(2)
        super().__init__(first, pools[0], second, pools[1], third, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.append(nn.Linear(64, 10))


def train(model: nn.Module, inputs: Tensor, classes: Tensor, epochs: int) -> None:
    """Train at the images' resolution."""
    batch, steps = 64, epochs * len(inputs) // 64
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    for step in range(steps):
        if step % (len(inputs) // batch) == 0:
            order = torch.randperm(len(inputs))
        chosen = order[step * batch % len(inputs) :][:batch]
        loss = F.cross_entropy(model(inputs[chosen]), classes[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def rescaled(model: nn.Module, factor: float, *, smooth: bool) -> nn.Module:
    """Return a model for a grid of `factor` times the points: its first kernel and window keep their extent.

    The first pool's query points stay where they are, so that all layers after it are the trained ones.
    """
    twin: Any = deepcopy(model)
    twin[0][0] = _convolution(twin[0][0], factor, smooth=smooth)
    twin[1] = nn.AvgPool2d(round(2 * factor))
    return twin


def _convolution(layer: nn.Conv2d, factor: float, *, smooth: bool) -> nn.Conv2d:
    """Return the convolution on the other grid: W' = A W Aᵀ for the weights A of the new taps along an axis."""
    old = torch.arange(-1.0, 2.0) * factor  # where the taps lie, in new pixels
    reach = int(factor * 2 - 1e-6) if smooth and factor > 1 else max(1, int(factor))
    new = torch.arange(-reach, reach + 1.0)
    width = factor if smooth and factor > 1 else 1.0
    weights = (1 - (new.unsqueeze(1) - old).abs() / width).clamp(min=0) / width  # the hat of a tap, times the measure
    kernel = torch.einsum("ia,jb,ocab->ocij", weights, weights, layer.weight.detach())
    made = nn.Conv2d(layer.in_channels, layer.out_channels, len(new), padding=reach)
    made.load_state_dict({**layer.state_dict(), "weight": kernel})
    return made


@torch.no_grad()
def accuracies(model: nn.Module, inputs: Tensor, classes: Tensor, size: int) -> list[float]:
    """Return the accuracy of each of `MODES` at a resolution."""
    factor = size / TRAINED
    seen = F.interpolate(inputs, (size, size), mode="bilinear", antialias=True, align_corners=False)
    back = F.interpolate(seen, (TRAINED, TRAINED), mode="bilinear", antialias=True, align_corners=False)
    found = []
    for mode in MODES:
        used = rescaled(model, factor, smooth="smooth" in mode) if "domain" in mode else deepcopy(model)
        report = convert_model(used)
        assert not report.left
        batches = (back if mode == "resized" else seen).split(500)  # type: ignore[no-untyped-call]
        found.append(float((torch.cat([used(batch).argmax(-1) for batch in batches]) == classes).float().mean()))
    return found


def main() -> None:
    """Train, evaluate at each resolution, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="where fetch_data.py put the data (default: data)")
    parser.add_argument("--train", type=int, default=12000, help="the number of training images (default: 12000)")
    parser.add_argument("--epochs", type=int, default=5, help="the number of epochs (default: 5)")
    parser.add_argument("--seeds", type=int, default=1, help="the number of trainings (default: 1)")
    options = parser.parse_args()
    training, test = images(options.data, "train", options.train), images(options.data, "t10k", 5000)
    results = []
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        train(model := Network(), *training, options.epochs)
        results.append([accuracies(model.eval(), *test, size) for size in SIZES])
    rows = Table("test images", *MODES, title=f"accuracy, %, trained at {TRAINED} × {TRAINED}")
    for size, row in zip(SIZES, 100 * torch.tensor(results).mean(0), strict=True):
        rows.add_row(f"{size} × {size}", *(f"{accuracy:.1f}" for accuracy in row))
    Console().print(rows)


if __name__ == "__main__":
    main()
