from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from itnet_registry import create_model, load_model, save_model
from itnet_series.series import Series


def test_a_model_of_names_is_saved_loaded_and_the_same(tmp_path: Path) -> None:
    encoder = {"name": "series", "channels": 2, "mean": [1.0, 0.0], "std": [2.0, 1.0]}
    model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3}).eval()
    series = Series.of([torch.randn(9, 2), torch.randn(5, 2)])
    save_model(model, tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model").eval()(series), model(series))


def test_preset_and_task_make_a_model(tmp_path: Path) -> None:
    """The channels, statistics and extent of the task arrive in the encoder."""
    path = tmp_path / "a.ts"
    path.write_text("@classLabel true a b\n@data\n1,2,3:5,5,5:a\n1,2,3:5,5,7:b\n")
    model = create_model("series-nano", task={"name": "series-table", "train": str(path), "test": str(path)})
    config: Any = model.encoders["series"].config
    assert (config.channels, config.mean, config.unit) == (2, (2.0, 5.333333333333333), 1.5)
    assert sum(parameter.numel() for parameter in model.parameters()) < 220_000
    assert model(Series.of([torch.randn(4, 2)])).shape == (1, 2)
