"""A checkpoint written before trunks were lists of blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from itnet_core import Field
from itnet_registry import load_model, save_model

SAVED = Path(__file__).parent / "format_1"


def test_it_is_read_and_computes_what_it_did(tmp_path: Path) -> None:
    model: Any = load_model(SAVED)
    values, positions = torch.linspace(-1, 1, 15).view(1, 5, 3), torch.linspace(-1, 1, 20).sin().view(1, 5, 4)
    expected = torch.tensor([[-0.57870162, 0.01522475]])
    torch.testing.assert_close(model(Field(values, positions)), expected, rtol=1e-5, atol=1e-6)
    [entry] = model.config["trunk"]
    assert (entry["repeat"], entry["width"], entry["ffn_ratio"], entry["dropout"]) == (2, 4, 2.0, 0.25)
    assert entry["kernel"]["support"]["radius"] == 1.5
    assert not {"depth", "kernel", "dropout"} & model.config.keys()
    save_model(model, tmp_path / "c")
    assert load_model(tmp_path / "c").config == model.config
