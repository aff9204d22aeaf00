"""Plugins' evaluators take part in `auto` by their rank, and none of them breaks a model."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import torch
from typer.testing import CliRunner

import itnet_registry
from itnet_registry import PluginError, Registry
from itnet_registry.cli.app import app

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

PLUGIN = """
    @hookimpl
    def itnet_register_components(api):
        return [
            ComponentSpec(kind="evaluator", name="fast", target="acme_sums.sums:Fast", summary="ones, up to 5 points"),
            ComponentSpec(kind="evaluator", name="rough", target="acme_sums.sums:Rough", summary="by name alone"),
            ComponentSpec(kind="evaluator", name="choosy", target="acme_sums.sums:Choosy", summary="required option"),
            ComponentSpec(kind="evaluator", name="lost", target="acme_sums.sums:Lost", summary="not there"),
            ComponentSpec(kind="evaluator", name="absent", target="acme_sums.sums:Fast", summary="it needs more",
                          requires=("no-such-distribution",)),
        ]
"""
SUMS = """
    from itnet_core import ComponentConfig, Evaluator, Unsupported

    class Fast(Evaluator):
        rank = 10

        def unsupported(self, problem):
            return None if problem.kernel.normalization == "none" else Unsupported("softmax", "none")

        def is_efficient(self, problem):
            return problem.shape[2] <= 5

        def evaluate(self, problem):
            batch, queries, _ = problem.shape
            return problem.values.new_ones(batch, queries, *problem.values.shape[2:])

    class Rough(Fast):
        rank = None

    class Choosy(Fast):
        class Config(ComponentConfig):
            order: int
"""


@pytest.fixture
def registry(garden: Garden) -> Registry:
    garden.plant("acme-sums", PLUGIN, modules={"sums": SUMS})
    return garden.registry()


def build(registry: Registry, **kernel: Any) -> Any:
    kernel = {"name": "mlp", "heads": 2, **kernel}
    encoder = {"name": "field", "channels": 8}
    return registry.create_model(width=8, depth=1, encoder=encoder, heads={}, kernel=kernel)


def chosen(model: Any, points: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    from itnet_core import Field

    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="itnet_core.operator.evaluators.auto"):
        model.features(Field(torch.randn(2, points, 8), torch.rand(2, points, 4)))
    return [record.getMessage().partition(" ")[0] for record in caplog.records]


def test_auto_takes_the_first_that_supports_the_problem_and_is_efficient(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    model = build(registry)
    assert chosen(model, 5, caplog) == ["Fast"]
    assert chosen(model, 6, caplog) == ["DenseEvaluator"]
    assert chosen(build(registry, normalization="softmax"), 5, caplog) == ["DenseEvaluator"]
    assert model.config["trunk"][0]["evaluator"] == {"name": "itnet-core/auto"}


def test_an_evaluator_that_is_created_has_the_plugins_too(registry: Registry) -> None:
    names = [type(item).__name__ for item in registry.create("evaluator", "auto").evaluators]
    assert names == ["Fast", "LocalEvaluator", "DenseEvaluator", "TiledEvaluator"]


def test_one_that_fails_is_left_out_and_logged(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    build(registry)
    said = [record.getMessage() for record in caplog.records if record.name == "itnet_registry.build.evaluators"]
    assert len(said) == 2
    assert "auto leaves out acme-sums/absent" in said[0]
    assert "no-such-distribution" in said[0]
    assert "auto leaves out acme-sums/lost" in said[1]


def test_info_shows_the_order(registry: Registry) -> None:
    done = CliRunner().invoke(app, ["info", "auto", "--json"])
    assert done.exit_code == 0, done.output
    actual = json.loads(done.stdout)["candidates"]
    assert [item["id"] for item in actual] == [
        "acme-sums/fast",
        "itnet-core/local",
        "itnet-core/dense",
        "itnet-core/tiled",
    ]
    assert [item["rank"] for item in actual] == sorted(item["rank"] for item in actual)
    assert "acme-sums/fast" in CliRunner().invoke(app, ["info", "auto"]).stdout


def test_the_installed_evaluators_are_built_once_without_options(registry: Registry) -> None:
    names = [type(evaluator).__name__ for evaluator in registry.installed_evaluators()]
    assert names == ["Fast", "LocalEvaluator", "DenseEvaluator", "TiledEvaluator"]
    first, second = registry.installed_evaluators(), registry.installed_evaluators()
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert itnet_registry.installed_evaluators() != first  # of the registry of the process


def test_a_broken_plugin_raises_only_in_a_strict_registry(garden: Garden) -> None:
    garden.plant("acme-bad", "raise RuntimeError('no luck')")
    assert len(garden.registry().installed_evaluators()) == 3
    with pytest.raises(PluginError, match="no luck"):
        garden.registry(strict=True).installed_evaluators()
