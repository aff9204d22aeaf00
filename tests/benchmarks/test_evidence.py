"""The comparison with specialists: verdicts, records, and networks of equal size that fit their tasks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evidence.baselines.joint import late_fusion, two_towers
from evidence.baselines.over_fields import MIXERS, Mamba
from evidence.contest import Contest, Entry
from evidence.contests import CONTESTS
from evidence.page import by_seed, summary, verdict
from evidence.records import Record, append, keep, packed, read, unpacked
from evidence.verdict import compare
from torch import nn

from itnet_text.tokenizer import train_tokenizer
from itnet_vision_language.inputs import ImageText


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        seeds, samples = 0.05 * random.standard_normal((3, 1)), random.standard_normal(200)
        found = compare(0.1 + seeds + samples + 0.3 * random.standard_normal((3, 200)), np.tile(samples, (3, 1)))
        covered += found.low < 0.1 < found.high
    assert 0.93 < covered / 400 <= 1.0


def test_a_lower_error_is_better_and_swapping_the_networks_swaps_the_verdict() -> None:
    random = np.random.default_rng(0)
    low, high = random.random((3, 50)), 1 + random.random((3, 50))
    assert compare(low, high, higher=False).word == compare(high, low).word == "better"
    assert compare(low, high).word == "worse"
    assert compare(low, high).difference == -compare(high, low).difference


def test_seeds_that_disagree_make_networks_equal_however_many_samples_there_are() -> None:
    differences = np.repeat([[0.3], [-0.2], [0.1]], 100_000, axis=1)
    assert compare(differences, np.zeros_like(differences)).word == "equal"


@pytest.mark.parametrize("scores", [np.array([0.0, 1, 1, 0, 1, 0, 0, 0, 1]), np.array([0.25, 1.5, 1e-4])])
def test_scores_are_stored_without_loss(scores: np.ndarray) -> None:
    assert np.array_equal(unpacked(packed(scores)), scores)


def record(model: str, seed: int, scores: list[float], fold: int = 0) -> Record:
    empty: dict[str, Any] = {"validation": {}, "curve": [], "test": {}, "conditions": {}}
    return Record(model, "r", 0.1, seed, fold, 10, **empty, scores=packed(np.array(scores)), seconds=1.0, commit="c")


def test_records_are_read_as_written_and_the_last_of_equal_keys_counts(tmp_path: Path) -> None:
    file = tmp_path / "some/contest.jsonl"
    assert read(file) == {}
    first, again, other = record("a", 0, [1, 0]), record("a", 0, [1, 1]), record("a", 1, [0.5, 0.25])
    for item in (first, again, other):
        append(file, item)
    assert list(read(file).values()) == [again, other]


def test_records_of_another_recipe_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "contest.jsonl"
    keep(file, ["r"])
    assert not file.exists()
    old, new = record("a", 0, [1, 0]), dataclasses.replace(record("a", 0, [1, 1]), recipe="new")
    for item in (old, new):
        append(file, item)
    keep(file, ["new", "other"])
    assert list(read(file).values()) == [new]


def contest() -> Contest:
    ours, other = (Entry(name, source, nn.Identity) for name, source in (("ITNet", "ITNet"), ("CNN", "timm")))
    return Contest("toy", "Toy", "", {}, {"epochs": 1}, ours, [other])


def test_folds_are_joined_before_networks_are_compared() -> None:
    ours = [record("ITNet", seed, [1.0] * 20, fold) for seed in (0, 1) for fold in (1, 0)]
    theirs = [record("CNN", seed, [float(i % 2) for i in range(20)], fold) for seed in (0, 1) for fold in (0, 1)]
    assert by_seed(theirs) == [0.5, 0.5]
    assert verdict(ours, theirs, contest()).word == "better"
    row = summary([(contest(), {"ITNet": ours, "CNN": theirs})])[-1]
    assert "1.000 ± 0.000 | 0.500 ± 0.000 (CNN) | **better**" in row


def test_names_are_unique_and_a_changed_budget_is_another_recipe() -> None:
    assert len({contest.name for contest in CONTESTS}) == len(CONTESTS)
    for item in CONTESTS:
        names = [entry.name for entry in item.networks]
        assert len(set(names)) == len(names)
        assert item.recipe(item.ours, quick=True) != item.recipe(item.ours, quick=False)


def test_mamba_is_scanned_to_the_same_result_as_transformers_scans_it() -> None:
    torch.manual_seed(0)
    model, values = Mamba(8, layers=1, bidirectional=True), torch.randn(2, 9, 8)
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    theirs = Mamba.forward.__wrapped__(model, values, mask)  # type: ignore[attr-defined]
    assert torch.allclose(model(values, mask), theirs, atol=1e-6)


@pytest.mark.parametrize("mixer", ["recurrent", "transformer", "s4d", "mamba"])
@pytest.mark.parametrize("causal", [False, True])
def test_mixers_leave_padding_out_and_causal_ones_the_future(mixer: str, causal: bool) -> None:
    torch.manual_seed(0)
    ways = {"causal": causal} if mixer == "transformer" else {"bidirectional": not causal}
    options: dict[str, Any] = {"recurrent": {"hidden": 8}, "s4d": {"state": 8}}.get(mixer, {})
    model = MIXERS[mixer](8, layers=2, **options, **ways).eval()
    values, mask = torch.randn(2, 9, 8), torch.arange(9) < torch.tensor([[9], [5]])
    out = model(values, mask)
    assert torch.allclose(out[1, :5], model(values[1:, :5], mask[1:, :5])[0], atol=1e-5)
    changed = values.index_fill(1, torch.tensor([4]), 1.0)
    assert torch.allclose(model(changed, mask)[0, :4], out[0, :4], atol=1e-5) == causal


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (late_fusion, {"depth": 1, "widths": [8, 8], "hidden": 8}),
        (two_towers, {"patch": 16, "layers": 1, "heads": 2}),
    ],
)
def test_joint_networks_see_every_image_and_the_text(network: Any, options: dict[str, Any], tmp_path: Path) -> None:
    train_tokenizer(["both images show a circle"], 260).save(str(tmp_path / "tokenizer.json"))
    sizes = {"dim": 8, "tokenizer": str(tmp_path / "tokenizer.json"), **options}
    torch.manual_seed(0)
    pairs = network({"name": "easy-vqa-pairs", "root": "anywhere"}, **sizes).eval()
    images, texts = torch.randn(2, 2, 3, 64, 64), ["both images show a circle", "no"]
    logits = pairs(ImageText(images, texts))
    assert logits.shape == (2, 2)
    for changed in (ImageText(images.flip(1), texts), ImageText(images, texts[::-1])):
        assert not torch.allclose(pairs(changed), logits)
    single = network({"name": "easy-vqa", "root": "anywhere", "answers": ["yes", "no", "red"]}, **sizes)
    assert single(ImageText(images[:, 0], texts)).shape == (2, 3)
