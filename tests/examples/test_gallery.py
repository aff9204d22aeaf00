"""The gallery: its script on small models, and its page."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import Field, IntegralOperator, MLPKernel
from itnet_explain import Explained, Explanation, HeadExplanation, KernelExplanation, explain
from itnet_registry import create_model

ROOT = Path(__file__).parents[2]


def load() -> Any:
    """Import the script, which is in no package."""
    spec = spec_from_file_location("gallery", ROOT / "examples/gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["gallery"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gallery = load()
PAGE = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")


def explained(equals: list[dict[str, float]], **ablation: float) -> Explained:
    """An explanation of one kernel, whose heads known operators explain to these shares."""
    empty = create_heads(len(equals))
    heads = tuple(
        HeadExplanation(**{**vars(head), "equals": shares, "shares": {"position": 0.25}})
        for head, shares in zip(empty, equals, strict=True)
    )
    scores = {kept.replace("_", " "): {"mean_error": value} for kept, value in ablation.items()}
    kernel = KernelExplanation("trunk.blocks.0.operator", "MLPKernel", "none", (9, 9), heads)
    return Explained(Explanation((kernel,), 1, ablation=scores), {}, {})


def create_heads(count: int) -> tuple[HeadExplanation, ...]:
    operator = IntegralOperator(count, MLPKernel(count, heads=count))
    return explain(operator, Field(torch.randn(2, 9, count), torch.rand(2, 9, 4))).layers[0].heads


def test_a_description_counts_the_heads_that_are_a_known_operator() -> None:
    text = gallery.describe(explained([{"convolution": 0.95, "attention": 0.2}, {"attention": 0.89}]))
    assert text == (
        "Of 2 heads, a known operator explains at least 90% of 1 (1 convolution); position alone makes 25% of the "
        "first kernel and 25% of the last. The closest head is 95% a convolution."
    )


def test_a_description_has_the_scores_of_the_parts() -> None:
    text = gallery.describe(explained([{"attention": -2.0}], everything=0.1, position_alone=0.2, content_alone=0.75))
    assert "at least 90% of 0 (none)" in text
    assert text.endswith(
        "On at most 100 test samples, the mean error is 0.100 with everything, 0.200 with position alone and 0.750 "
        "with content alone."
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_points_of_any_dimension_are_drawn(axes: int, tmp_path: Path) -> None:
    positions = torch.zeros(2, 9, 4)
    positions[..., :axes] = torch.rand(2, 9, axes)
    operator = IntegralOperator(8, MLPKernel(8))
    gallery.draw(Explained(explain(operator, Field(torch.randn(2, 9, 8), positions)), {}, {}), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_a_query_point_is_marked_in_its_cell_of_the_grid() -> None:
    from matplotlib.figure import Figure

    model = create_model("itnet-nano", depth=1, encoder={"name": "patch", "patch_size": 2}, task="digits")
    item = explain(model, torch.rand(2, 1, 8, 8)).layers[0].maps[0]
    axes: Any = Figure().add_subplot()
    gallery.draw_map(axes, item, 0, None)
    query = int(item.queries[len(item.queries) // 2])
    [[x, y]] = axes.collections[0].get_offsets().tolist()
    assert item.grid == (4, 4)
    assert (y, x) == divmod(query, 4)
    assert axes.images[0].get_array().shape == (4, 4)


def test_the_page_has_every_model_with_its_figure_command_and_provenance() -> None:
    for name, model in gallery.MODELS.items():
        section = PAGE.partition(f"## {model.title}\n")[2].partition("\n## ")[0]
        assert f"images/gallery/{name}.png" in section
        assert (gallery.IMAGES / f"{name}.png").is_file()
        assert (ROOT / f"examples/{model.config}.yaml").is_file()
        assert f"`itnet train examples/{model.config}.yaml {' '.join(model.overrides)}`" in section
        assert re.search(
            r"\d+ threads? of .+, torch .+, \d{4}-\d\d-\d\d, commit [0-9a-f]{7,}; on the test split", section
        )
        assert re.search(r"^Of \d+ heads, .+\. .+\.$", section, re.MULTILINE)


def test_the_page_is_written_of_what_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs/graph"
    run.mkdir(parents=True)
    (run / "metrics.json").write_text('{"test": {"mean_error": 0.25}, "seconds": 7.4}')
    (run / "shows.txt").write_text("One. Two.")
    (run / "provenance.txt").write_text("1 thread")
    monkeypatch.setattr(gallery, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(gallery, "PAGE", tmp_path / "gallery.md")
    gallery.write_page()
    page = (tmp_path / "gallery.md").read_text()
    assert page.count("\n## ") == 1
    assert "One. Two.\n\n`itnet train examples/motifs.yaml train.epochs=3`, 7 s on 1 thread" in page
    assert "on the test split: mean error 0.250." in page
