from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import ClassificationHead, Field
from itnet_registry import create_model, load_model, save_model
from itnet_train.commands import export as exporting

Itnet = Callable[..., Any]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    kernel = {"name": "mlp", "hidden": 4, "inputs": ["query", "product", "bilinear", "displacement", "fourier"]}
    model = create_model(width=8, depth=1, encoder="signal", kernel=kernel, task="tones")
    save_model(model, tmp_path / "best")
    return tmp_path / "best"


def test_pt2_is_the_model_for_any_batch(itnet: Itnet, checkpoint: Path) -> None:
    result = itnet("export", checkpoint, "--format", "pt2", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["output"] == str(checkpoint.with_suffix(".pt2"))
    assert list(report["inputs"]) == ["samples"]
    assert report["prediction"]["dtype"] == "float32"
    exported, model = torch.export.load(report["output"]).module(), load_model(checkpoint)
    encoder: Any = model.encoders["signal"]
    samples = encoder.example()["samples"]
    for inputs in (samples, torch.randn(5, 2 * samples.shape[1])):
        torch.testing.assert_close(exported(inputs), model({"samples": inputs}))


def test_onnx_without_its_libraries_names_the_line_that_installs_them(
    itnet: Itnet, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else name)
    result = itnet("export", checkpoint, "--output", "model.onnx")
    assert result.exit_code != 0
    assert "pip install 'itnet-train[onnx]'" in result.stderr
    assert not Path("model.onnx").exists()


def test_an_unknown_modality_is_refused(itnet: Itnet, checkpoint: Path) -> None:
    refused = itnet("export", checkpoint, "--format", "pt2", "--modality", "smell")
    assert refused.exit_code == 2
    assert "expected one of signal" in refused.stderr


def test_a_sampler_that_draws_is_refused_and_another_one_exported(itnet: Itnet, tmp_path: Path) -> None:
    sampler = {"name": "itnet-samplers/monte-carlo", "points": 4}
    model = create_model(width=8, depth=1, encoder="signal", sampler=sampler, task="tones")
    save_model(model, tmp_path / "best")
    refused = itnet("export", tmp_path / "best", "--format", "pt2")
    assert refused.exit_code == 2
    assert "MonteCarloSampler: found torch.export" in refused.stderr
    assert itnet("export", tmp_path / "best", "--format", "pt2", "--sampler", "full").exit_code == 0
    assert (tmp_path / "best.pt2").exists()


def test_a_kernel_with_a_table_of_lags_is_refused(itnet: Itnet, tmp_path: Path) -> None:
    save_model(create_model(width=8, depth=1, encoder="signal", kernel="s4", task="tones"), tmp_path / "best")
    refused = itnet("export", tmp_path / "best", "--format", "pt2")
    assert refused.exit_code == 2
    assert "S4Kernel: found torch.export" in refused.stderr


def test_an_operation_that_onnx_lacks_is_one_message(
    itnet: Itnet, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outer(head: ClassificationHead, field: Field) -> Tensor:
        return torch.linalg.eigvals(forward(head, field).unsqueeze(-1) * torch.ones(3)).real

    forward = ClassificationHead.forward
    monkeypatch.setattr(ClassificationHead, "forward", outer)
    refused = itnet("export", checkpoint, "--format", "onnx")
    assert refused.exit_code == 2
    assert "--format onnx: found" in refused.stderr
    assert not checkpoint.with_suffix(".onnx").exists()


def test_a_graph_of_one_batch_size_is_refused(itnet: Itnet, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = ClassificationHead.forward
    monkeypatch.setattr(
        ClassificationHead, "forward", lambda head, field: forward(head, field) * torch.ones(len(field.values), 1)
    )
    refused = itnet("export", checkpoint, "--format", "pt2")
    assert refused.exit_code == 2
    assert "found a graph for batches of 2 samples alone" in refused.stderr
