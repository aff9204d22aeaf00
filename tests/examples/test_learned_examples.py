"""The examples that learn kernels of other families and that stream text, in small."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_registry import create_model


def load(name: str) -> Any:
    """Import a script of examples/, which is no package."""
    spec = spec_from_file_location(name, Path(__file__).parents[2] / f"examples/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


families, writing = load("three_families"), load("generate_text")


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_the_error_falls(family: Any) -> None:
    small = replace(family, grid=(6,) * len(family.grid))
    teacher = families.make_teacher(small, 0)
    student = families.students(small, 0)[families.CLAIM]
    field = families.random_fields(small, small.grid, 8, families.HELD_OUT)

    def error() -> float:
        return families.relative_error(lambda field: student(field).values, teacher, field)

    before = error()
    families.train(small, teacher, student, 60, 0)
    assert error() < 0.9 * before


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_the_matrix_kernel_is_the_operator(family: Any) -> None:
    teacher = families.make_teacher(family, 0).double()
    field = families.random_fields(family, (6,) * len(family.grid), 1, 0).to(torch.float64)
    k = families.matrix_kernel(teacher, field, field)
    out = torch.einsum("nmab,m,mb->na", k, field.weights[0], field.values[0])
    torch.testing.assert_close(out, teacher(field).values[0], rtol=1e-5, atol=1e-5)  # positions are float32's


def test_a_finer_grid_is_the_same_function() -> None:
    family = families.FAMILIES[0]
    coarse, fine = (families.random_fields(family, grid, 1, 3) for grid in ((4, 4), (12, 12)))
    actual = fine.values.view(12, 12, -1)[1::3, 1::3].flatten(0, 1)  # centres of cells of thrice the size
    torch.testing.assert_close(actual, coarse.values[0])


def test_the_families_are_drawn_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "TEST_FIELDS", 1)
    families.main(["--steps", "1", "--output", str(tmp_path), "--json"])
    records = json.loads(capsys.readouterr().out)
    assert [item["family"] for item in records] == [f.name for f in families.FAMILIES for _ in range(5)]
    assert records == json.loads((tmp_path / "three_families.json").read_text())
    assert (tmp_path / "three_families.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "reviews"
    folder.mkdir()
    (folder / "films.txt").write_text("".join(f"{n}\t0.5\tthe film number {n} is good\n" for n in range(200)))
    return tmp_path


@pytest.mark.parametrize("kernel", ["retention", "gru", "attention", "mlp"])
def test_text_is_learned_and_streamed(kernel: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--kernel", kernel, "--data", str(data), "--length", "32", "--dim", "32", "--count", "20", "--json"]
    actual = []
    for steps in ("2", "40"):
        writing.main([*arguments, "--steps", steps])
        actual.append(json.loads(capsys.readouterr().out))
    assert actual[1]["bits"] < 0.8 * actual[0]["bits"]
    assert actual[1]["text"].startswith("The film ".replace("T", writing.UNKNOWN))  # no T was learned
    assert len(actual[1]["text"]) == actual[1]["characters"] == len("The film ") + 20


def test_a_state_is_of_one_size() -> None:
    torch.manual_seed(0)
    model = writing.CharacterModel(5, "mamba", 16, 2, {})
    sizes = {writing.stream(model, torch.tensor([1]), count)[2] for count in (1, 10, 20)}
    assert len(sizes) == 1


def test_bits_of_ngrams() -> None:
    assert writing.ngram_bits("ab" * 500, "ab" * 50, 3) < 0.1  # what follows is certain
    assert writing.ngram_bits("ab" * 500, "ab" * 50, 1) == pytest.approx(1.0, abs=0.02)


def test_missing_data_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="fetch_data.py reviews"):
        writing.main(["--data", str(tmp_path)])


def test_the_change_of_a_factorised_model_falls_with_the_pivots() -> None:
    digits = load("factorize_digits")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"width": 8, "depth": 2, "kernel": {"heads": 2, "hidden": 4, "rank": 2, "frequencies": 1}}
    model = create_model(encoder={"name": "patch", "patch_size": 1}, task="digits", **sizes)
    model = digits.on_pixels(model)
    data = digits.select_images(model, 1, 20)
    assert model.features(digits.select_images(model, 2, 2).inputs).grid == (16, 16)
    before, actual = digits.compare(model, data, (2, 40))
    assert actual[40].change < 0.5 * actual[2].change
    assert actual[40].errors[-1] < 0.5 * actual[2].errors[-1]
    assert [line.count("|") for line in digits.table(before, actual)] == [6] * 5


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_kernel_on_another_grid_is_the_same_at_its_own_and_of_the_same_mass(factor: float, smooth: bool) -> None:
    torch.manual_seed(0)
    model = load("resolution").Network()
    twin = sys.modules["resolution"].rescaled(model, factor, smooth=smooth)
    torch.testing.assert_close(twin[0][0].weight.sum((2, 3)), model[0][0].weight.sum((2, 3)))
    if factor == 1:
        image = torch.randn(2, 1, 28, 28)
        torch.testing.assert_close(twin(image), model(image))


def test_a_skeleton_of_full_rank_is_the_integral(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    script = load("factorize_minilm")
    torch.manual_seed(0)
    monkeypatch.setattr(script, "RANKS", (24,))
    q, k, v = (torch.randn(2, 3, 12, 4) for _ in range(3))
    actual = script.fit(q, k)[24].integrate(q, k, v)
    torch.testing.assert_close(actual, (q @ k.mT).softmax(-1) @ v, rtol=1e-3, atol=1e-3)


def test_a_kernel_in_seconds_gives_the_same_features_at_other_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    script = load("resolution_crepe")
    torch.manual_seed(0)
    model = script.PitchEstimator().eval()
    smooth = script.resample(torch.randn(128, 64), 2000, script.TRAINED)[:, None, :, None]  # below 1 kHz
    model.conv1.weight.data = smooth
    pitch = torch.tensor([2400.0, 5000.0])

    def features(rate: int) -> torch.Tensor:
        tones = script.tones(pitch, script.FRAME * rate // script.TRAINED, rate)
        out: torch.Tensor = script.at_rate(model, rate).conv1(tones[:, None, :, None])
        return out

    expected = features(script.TRAINED)
    torch.testing.assert_close(model.conv1(script.tones(pitch, 1024, 16000)[:, None, :, None]), expected)
    for rate in (8000, 32000):
        torch.testing.assert_close(features(rate), expected, rtol=0, atol=0.02 * float(expected.detach().abs().max()))
