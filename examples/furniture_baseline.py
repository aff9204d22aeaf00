"""Accuracy of logistic regression on simple features of the furniture, on the folds of examples/furniture.yaml.

python examples/furniture_baseline.py [data/furniture]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from itnet_registry import create
from itnet_tasks import Labelled

FOLDS, BINS = 5, 10


def features(positions: Tensor) -> np.ndarray:
    """Return a cloud's extents, the place of its mean within them, its deviations, and histograms of its points.

    The histograms are of heights (along y), of distances from the vertical axis, and of distances from the mean.

    Args:
        positions: in the unit sphere around the mean, shape (N, 3).

    Returns:
        Shape (9 + 3 BINS,).
    """
    low, high = positions.amin(0), positions.amax(0)
    moments = [high - low, high + low, positions.std(0)]
    lengths = [(positions[:, 1] + 1) / 2, positions[:, [0, 2]].norm(dim=1), positions.norm(dim=1)]
    histograms = [length.histc(BINS, 0, 1) / len(positions) for length in lengths]
    return np.concatenate([*moments, *histograms])


def table(labelled: Labelled, load: Callable[[Path], Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of meshes, and their classes."""
    rows = [features(load(path).positions) for path in labelled.sources]
    return np.stack(rows), np.asarray(labelled.labels)


def main() -> None:
    """Print the accuracy on each fold, and the mean."""
    root = sys.argv[1] if len(sys.argv) > 1 else "data/furniture"
    accuracies = []
    for fold in range(FOLDS):
        task: Any = create("task", "mesh-folder", root=root, up="y", test_folds=FOLDS, test_fold=fold, points=2048)
        load = task.loader(training=False)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        model.fit(*table(task.training(), load))
        accuracies.append(model.score(*table(task.test(), load)))
        print(f"fold {fold}: accuracy {accuracies[-1]:.3f}")
    print(f"mean of {FOLDS} folds: accuracy {np.mean(accuracies):.3f}")


if __name__ == "__main__":
    main()
