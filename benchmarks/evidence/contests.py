"""All contests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.baselines import audio, fields, images, joint, points, series
from evidence.baselines.over_fields import over_field
from evidence.contest import Contest, Entry, itnet, tokens_correct
from itnet_operators.samples import relative_errors

BUDGET: Mapping[str, Any] = {"batch_size": 64, "warmup": 0.2}

STEM: Mapping[str, Any] = {"name": "conv-stem", "strides": [1, 2], "norm": "batch"}
FASHION = Contest(
    "fashion-15k",
    "Images: Fashion-MNIST, 15,000 images",
    "15,000 training images, random shifts of 2 pixels, 6 epochs in batches of 64; test on 10,000",
    {"name": "fashion-mnist", "root": "data/fashion-mnist", "training_samples": 15000},
    {**BUDGET, "epochs": 6},
    itnet("ITNet", preset="itnet-pyramid-nano", encoder=STEM),
    (
        Entry("ResNet", "timm", images.resnet, {"depth": 2, "widths": [18, 36, 72]}),
        Entry("ConvNeXt", "timm", images.convnext, {"depths": [2, 2, 2, 2], "dims": [20, 40, 60, 80]}),
        Entry("ViT", "timm", images.vit, {"patch": 4, "dim": 68, "depth": 4, "heads": 4}),
        Entry(
            "Transformer on a stem",
            "torch",
            over_field,
            {"encoder": {"name": "conv-stem", "strides": [2, 2]}, "mixer": "transformer", "dim": 60, "longest": 49},
        ),
        Entry("logistic regression", "scikit-learn", images.Linear, fitted=True),
    ),
    goals="at least the convolutional network",
)

MEL: Mapping[str, Any] = {"name": "mel", "n_mels": 40, "patch_frames": 10, "patch_mels": 10}
LANGUAGES = Contest(
    "languages",
    "Audio: five languages, held-out prompts",
    "1,782 recordings, 14 epochs in batches of 64; test on 495 recordings of 99 other prompts",
    {"name": "audio-folder", "root": "data/languages", "group_by": "name", "sample_rate": 8000, "max_seconds": 3},
    {**BUDGET, "epochs": 14},
    itnet(
        "ITNet",
        preset="itnet-pyramid-nano",
        encoder={"name": "mel", "n_mels": 40, "patch_frames": 5, "patch_mels": 5},
    ),
    (
        Entry("ResNet on log-mel", "timm", audio.MelResNet, {"depth": 2, "widths": [18, 36, 64]}),
        Entry("Conformer", "torchaudio", audio.MelConformer, {"dim": 64, "layers": 3, "heads": 4}),
        Entry("M5", "torchaudio's tutorial", audio.M5, {"width": 80}),
        Entry(
            "Transformer on patches",
            "torch",
            over_field,
            {"encoder": MEL, "mixer": "transformer", "dim": 64, "longest": 128},
        ),
        itnet("ITNet of one width", preset="itnet-nano", encoder=MEL),
    ),
    goals="at least the best, at no more than 1.5 times its cost",
)

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

TOKENIZER = "data/easy-vqa/tokenizer.json"
IMAGE_TEXT: Mapping[str, Any] = {
    "name": "image-text",
    "image": {"name": "conv-stem", "strides": [2, 2, 2, 2], "norm": "batch"},
    "text": {"name": "token", "tokenizer": TOKENIZER},
}
EASY_VQA = Contest(
    "easy-vqa",
    "Vision and language: questions about shapes",
    "10,000 questions about images of 64 × 64 pixels, 8 epochs in batches of 64; test on 9,673 about other images",
    {"name": "easy-vqa", "root": "data/easy-vqa", "training_samples": 10000},
    {**BUDGET, "epochs": 8},
    itnet(
        "ITNet",
        preset="itnet-nano",
        encoder=IMAGE_TEXT,
    ),
    (
        Entry(
            "late fusion of ResNet and LSTM",
            "timm, torch",
            joint.late_fusion,
            {"tokenizer": TOKENIZER, "depth": 2, "widths": [16, 32, 48], "dim": 64, "hidden": 48},
        ),
        Entry(
            "two Transformers",
            "timm, torch",
            joint.two_towers,
            {"tokenizer": TOKENIZER, "patch": 8, "dim": 52, "layers": 3, "heads": 4},
        ),
        itnet("ITNet, each point of equal weight", preset="itnet-nano", encoder={**IMAGE_TEXT, "measure": "mean"}),
    ),
    goals="at least the best",
)

SEQUENCE: Mapping[str, Any] = {
    "width": 64,
    "depth": 3,
    "ffn_ratio": 2,
    "kernel": {
        "name": "sum",
        "kernels": [
            {"name": "attention", "heads": 4},
            {
                "name": "mlp",
                "heads": 4,
                "hidden": 16,
                "rank": 8,
                "frequencies": 4,
                "support": {"window": 0.6},
            },
        ],
    },
}
"""One trunk for all tasks on sequences."""


def sequences(encoder: str | Mapping[str, Any], longest: int) -> tuple[Entry, ...]:
    """Return the networks that an ITNet is compared with on sequences, over the same encoder."""
    mixers: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
        "LSTM": ("torch", "recurrent", {"hidden": 56, "layers": 2}),
        "Transformer": ("torch", "transformer", {"layers": 3, "ratio": 3.3, "longest": longest}),
        "Mamba": ("transformers", "mamba", {"layers": 2, "bidirectional": True}),
        "bag": ("torch", "bag", {"hidden": 900}),
    }
    return tuple(
        Entry(name, source, over_field, {"encoder": encoder, "mixer": mixer, "dim": 64, **options})
        for name, (source, mixer, options) in mixers.items()
    )


def sequence_contest(
    name: str, title: str, what: str, task: Mapping[str, Any], epochs: int, longest: int, **options: Any
) -> Contest:
    """Return a contest on sequences of tokens: the same trunk, recipe and rivals for each."""
    encoder = {"name": "token"}
    return Contest(
        name,
        title,
        f"{what}, {epochs} epochs in batches of 32",
        task,
        {"batch_size": 32, "warmup": 0.1, "epochs": epochs},
        itnet("ITNet", **SEQUENCE, encoder=encoder),
        sequences(encoder, longest),
        goals="at least the best, with one trunk for all tasks on sequences",
        **options,
    )


RECALL = sequence_contest(
    "associative-recall",
    "Sequences: associative recall (MQAR)",
    "20,000 sequences of 64 tokens, 8 pairs of keys and values of a vocabulary of 64",
    {"name": "associative-recall", "pairs": 8, "vocabulary": 64, "length": 64, "training_samples": 20000},
    3,
    64,
    score=tokens_correct,
)
LISTOPS = sequence_contest(
    "listops",
    "Sequences: ListOps of 10 to 100 tokens",
    "20,000 expressions",
    {"name": "listops", "min_length": 10, "max_length": 100, "training_samples": 20000},
    3,
    100,
)
DYCK = sequence_contest(
    "dyck",
    "Sequences: the bracket to close (Dyck)",
    "20,000 prefixes of 10 to 40 brackets of four kinds, at most five deep",
    {"name": "dyck", "kinds": 4, "max_depth": 5, "min_length": 10, "max_length": 40, "training_samples": 20000},
    2,
    40,
)
AGREEMENT = sequence_contest(
    "agreement",
    "Text: subject–verb agreement with attractors",
    "2,000 generated sentences with up to five attractors",
    {"name": "agreement", "training_samples": 2000, "attractors": 5},
    6,
    64,
)


def series_contest(
    name: str, title: str, what: str, *, epochs: int, batch: int, patch: int = 1, jitter: float = 0.3, **model: Any
) -> Contest:
    """Return a contest on a classification of the UCR and UEA archives."""
    encoder = {"name": "series", "patch": patch}
    files = {split: f"data/series/{name}_{split.upper()}.ts" for split in ("train", "test")}
    return Contest(
        name,
        f"Time series: {title}",
        f"{what}, with noise and warped time in training, {epochs} epochs in batches of {batch}",
        {"name": "series-table", **files, "validation": 0.2, "jitter": jitter, "warp": 0.2},
        {"batch_size": batch, "warmup": 0.2, "epochs": epochs},
        itnet("ITNet", preset="series-nano", encoder=encoder, **model),
        (
            Entry("ROCKET", "scikit-learn", series.Rocket, fitted=True),
            Entry("LSTM", "torch", over_field, {"encoder": encoder, "mixer": "recurrent", "dim": 64, "hidden": 70}),
            Entry(
                "Transformer",
                "torch",
                over_field,
                {"encoder": encoder, "mixer": "transformer", "dim": 64, "layers": 4, "ratio": 3.5, "longest": 128},
            ),
        ),
        goals="at least the best",
    )


SERIES = (
    series_contest(
        "JapaneseVowels",
        "nine speakers by two vowels",
        "270 series of 12 channels in training and validation, 370 in the test",
        epochs=30,
        batch=32,
        kernel={"support": {"window": 0.35}},
    ),
    series_contest(
        "ItalyPowerDemand",
        "two seasons by a day of power",
        "67 series in training and validation, 1,029 in the test",
        epochs=60,
        batch=8,
    ),
    series_contest(
        "BasicMotions",
        "four motions by six sensors",
        "40 series in training and validation, 40 in the test",
        epochs=60,
        batch=8,
    ),
    series_contest(
        "OSULeaf",
        "six kinds of leaves by their outline",
        "200 series in training and validation, 242 in the test",
        epochs=60,
        batch=32,
        patch=8,
        jitter=0.1,
    ),
)

FIELDS: Mapping[str, Any] = {
    "metric": "relative_l2",
    "higher": False,
    "score": relative_errors,
    "rates": (0.004, 0.008, 0.016),
}
FIELD_RECIPE: Mapping[str, Any] = {"batch_size": 20, "warmup": 0.2, "weight_decay": 0.0001}
DARCY = Contest(
    "darcy",
    "Operators: Darcy flow",
    "950 samples of 16 × 16 points, 16 epochs in batches of 20; test on 50",
    {"name": "darcy", "root": "data/darcy"},
    {**FIELD_RECIPE, "epochs": 16},
    itnet("ITNet", preset="operator-nano"),
    (
        Entry("FNO", "neuraloperator", fields.fno, {"modes": [8, 8], "hidden": 24}),
        Entry(
            "U-NO",
            "neuraloperator",
            fields.uno,
            {
                "hidden": 20,
                "widths": [20, 24, 24, 20],
                "modes": [[8, 8], [6, 6], [6, 6], [8, 8]],
                "scalings": [[1, 1], [0.5, 0.5], [1, 1], [2, 2]],
            },
        ),
    ),
    conditions={"32 × 32": {"resolution": 32}},
    goals="at most 0.085, and 0.110 on 32 × 32 points, which no network was trained on",
    **FIELDS,
)
BURGERS = Contest(
    "burgers",
    "Operators: Burgers' equation",
    "900 samples of 16 points on a circle, 40 epochs in batches of 20; test on 200",
    {"name": "burgers", "root": "data/burgers"},
    {**FIELD_RECIPE, "epochs": 40},
    itnet("ITNet", preset="operator-periodic-nano"),
    (Entry("FNO", "neuraloperator", fields.fno, {"modes": [16], "hidden": 24}),),
    conditions={f"{n} points": {"resolution": n} for n in (8, 32, 64, 256)},
    goals="the same error at 8 to 256 points",
    **FIELDS,
)
ANTIDERIVATIVE = Contest(
    "antiderivative",
    "Operators: the antiderivative",
    "Random functions on 32 points, 12 epochs in batches of 20",
    {"name": "antiderivative", "points": 32},
    {**FIELD_RECIPE, "epochs": 12, "initialize_scales": False},
    itnet("ITNet", preset="operator-1d-nano"),
    (Entry("FNO", "neuraloperator", fields.fno, {"modes": [16], "hidden": 24}),),
    conditions={
        **{f"{n} points": {"points": n} for n in (8, 64, 256)},
        **{f"{n} random points": {"points": n, "irregular": True} for n in (64, 256)},
    },
    goals="the same error at 8 to 256 points, and at irregular points",
    **FIELDS,
)

INPUTS = ("query", "key", "product", "displacement", "distance", "fourier")
CONTENT, POSITION = INPUTS[:3], INPUTS[3:]


PAPER_SAYS = (
    "the paper says that removing any input hurts, that content alone and position alone are worst, and that rank 64"
    " loses 0.1% on ImageNet [second-hand]"
)


def ablation(
    name: str,
    title: str,
    what: str,
    points: int,
    task: Mapping[str, Any],
    train: Mapping[str, Any],
    model: Mapping[str, Any],
    **options: Any,
) -> Contest:
    """Return a contest of an ITNet with others of its kind, each with one thing changed, at one learning rate."""
    kernel = {"name": "mlp", **model["kernel"]}
    sampled = 128 if points > 128 else points // 2
    heads, hidden, rank = (kernel[key] for key in ("heads", "hidden", "rank"))

    def changed(entry: str, sampler: Mapping[str, Any] | None = None, **options: Any) -> Entry:
        return itnet(entry, **{**model, "sampler": sampler or "full", "kernel": {**kernel, **options}})

    low_rank = {"name": "low-rank", "heads": heads, "rank": 64, "hidden": 64}
    return Contest(
        name,
        title,
        what,
        task,
        train,
        itnet("all inputs", **{**model, "kernel": kernel}),
        (
            *(changed(f"without {left}", inputs=[i for i in INPUTS if i != left]) for left in INPUTS),
            changed("content alone", inputs=CONTENT),
            changed("position alone", inputs=POSITION),
            changed("half as many heads", heads=heads // 2),
            changed("twice as many heads", heads=2 * heads),
            changed("half as many hidden units", hidden=hidden // 2),
            changed("twice as many hidden units", hidden=2 * hidden),
            changed("half the rank", rank=rank // 2),
            itnet("low rank, 64", **{**model, "kernel": low_rank}),
            changed(f"Monte Carlo, {sampled} points", sampler={"name": "monte-carlo", "points": sampled}),
        ),
        goals=PAPER_SAYS,
        **options,
    )


ABLATIONS = (
    ablation(
        "ablation-images",
        "Ablation: Fashion-MNIST at 196 points",
        "5,000 training images, 4 epochs in batches of 64; test on 10,000",
        196,
        {"name": "fashion-mnist", "root": "data/fashion-mnist", "training_samples": 5000},
        {**BUDGET, "epochs": 4},
        {
            "width": 48,
            "depth": 2,
            "encoder": {"name": "conv-stem", "strides": [2]},
            "kernel": {"heads": 4, "hidden": 16, "rank": 8, "frequencies": 4},
        },
        rates=(0.004,),
    ),
    ablation(
        "ablation-recall",
        "Ablation: associative recall at 64 tokens",
        "20,000 sequences, 3 epochs in batches of 32",
        64,
        RECALL.task,
        RECALL.train,
        {
            "width": 64,
            "depth": 3,
            "ffn_ratio": 2,
            "encoder": {"name": "token"},
            "kernel": {"heads": 4, "hidden": 16, "rank": 16, "frequencies": 4, "normalization": "softmax"},
        },
        rates=(0.002,),
        score=tokens_correct,
    ),
)

CONTESTS = (
    FASHION,
    LANGUAGES,
    FURNITURE,
    EASY_VQA,
    RECALL,
    LISTOPS,
    DYCK,
    AGREEMENT,
    *SERIES,
    DARCY,
    BURGERS,
    ANTIDERIVATIVE,
    *ABLATIONS,
)
