"""Contests on point clouds."""

from __future__ import annotations

from evidence.baselines import points
from evidence.contest import Contest, Entry, itnet

FURNITURE = Contest(
    "furniture",
    "Point clouds: 12 kinds of furniture, 5 folds",
    "About 180 meshes in training, clouds of 512 points with normals, 60 epochs in batches of 16; each mesh is a test"
    " sample of one fold",
    {
        "name": "mesh-folder",
        "root": "data/furniture",
        "points": 512,
        "normals": True,
        "up": "y",
        "turn": 15,
        "mirror": 0.5,
        "label_smoothing": 0.1,
    },
    {"batch_size": 16, "warmup": 0.3, "epochs": 60},
    itnet(
        "ITNet",
        preset="itnet-nano",
        encoder={"name": "local-group", "centres": 64, "neighbours": 32, "weights": "mean"},
    ),
    (
        Entry("PointNet", "PyTorch Geometric", points.PointNet, {"widths": [64, 64, 128, 512], "hidden": 256}),
        Entry(
            "PointNet++",
            "PyTorch Geometric",
            points.PointNet2,
            {"widths": [[64, 64], [128, 128], [192, 448]], "hidden": 128},
        ),
        Entry("DGCNN", "PyTorch Geometric", points.DGCNN, {"widths": [48, 48, 96], "last": 512, "hidden": 192}),
        Entry(
            "Point Transformer",
            "PyTorch Geometric",
            points.PointTransformer,
            {"widths": [48, 96, 192], "points": [128, 32], "hidden": 192},
        ),
    ),
    folds=tuple({"test_fold": fold} for fold in range(5)),
    conditions={
        "turned about the vertical axis": {"evaluation_rotation": "vertical"},
        "turned in any way": {"evaluation_rotation": "any"},
    },
    goals="at least the best",
)
