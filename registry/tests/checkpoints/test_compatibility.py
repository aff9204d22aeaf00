from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from itnet_registry import CheckpointError, Registry

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

PLUGIN = """
    @hookimpl
    def itnet_register_components(api):
        return [ComponentSpec(kind="kernel", name="k", target="acme_a.parts:K", summary="", config_version={version})]
    {more}
"""
PARTS = """
    from itnet_core import ComponentConfig
    from itnet_toy.parts import Constant
    class K(Constant):
        class Config(ComponentConfig):
            {field}: int = 1
            heads: int = 1
"""
MIGRATE = """
    @hookimpl
    def itnet_migrate_config(component, config, from_version):
        {body}
"""


def plant(
    garden: Garden, *, version: int = 1, field: str = "size", more: str = "", release: str = "1.0", **options: Any
) -> Registry:
    garden.uproot("acme-a")
    parts = PARTS.format(field=field)
    garden.plant(
        "acme-a", PLUGIN.format(version=version, more=more), version=release, modules={"parts": parts}, **options
    )
    return garden.registry()


@pytest.fixture
def checkpoint(garden: Garden, tmp_path: Path) -> Path:
    """Save a model with kernel acme-a/k, config version 1."""
    garden.toy()
    registry = plant(garden)
    model = registry.create_model("toy", encoder="pixels", heads={}, kernel={"name": "k", "size": 5})
    registry.save_model(model, tmp_path / "c")
    return tmp_path / "c"


def refused(registry: Registry, checkpoint: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        registry.load_model(checkpoint)
    return str(caught.value)


def test_every_missing_plugin_is_named_at_once_with_one_command(garden: Garden, checkpoint: Path) -> None:
    garden.uproot("acme-a")
    garden.uproot("itnet-toy")
    message = refused(garden.registry(), checkpoint)
    assert "kernel acme-a/k: acme-a is not installed" in message
    assert "encoder itnet-toy/pixels: itnet-toy is not installed" in message
    assert message.endswith("Run: pip install --upgrade 'acme-a>=1.0' 'itnet-toy>=1.0'")


def test_a_missing_and_an_old_plugin_are_named_together(garden: Garden, checkpoint: Path) -> None:
    registry = plant(garden, version=3, more=MIGRATE.format(body="return {**config}"), release="3.0")
    model = registry.create_model("toy", encoder="pixels", heads={}, kernel={"name": "k"})
    registry.save_model(model, checkpoint)
    registry = plant(garden)
    garden.uproot("itnet-toy")
    message = refused(garden.registry(), checkpoint)
    assert "kernel acme-a/k: acme-a 1.0 reads config version 1, the checkpoint has 3" in message
    assert "'acme-a>=3.0' 'itnet-toy>=1.0'" in message


def test_an_old_configuration_is_migrated(garden: Garden, checkpoint: Path) -> None:
    body = """assert (component, from_version) == ("acme-a/k", 1)
        return {"extent": config["size"] * 2, "heads": config["heads"]}"""
    registry = plant(garden, version=2, field="extent", more=MIGRATE.format(body=body), release="2.0")
    model: Any = registry.load_model(checkpoint)
    assert model.config["trunk"][0]["kernel"] == {"name": "acme-a/k", "extent": 10, "heads": 1}
    assert model.features(torch.randn(1, 4, 4, 3)).values.shape == (1, 16, 8)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "acme-a 2.0 cannot migrate config version 1 to 2"),
        (MIGRATE.format(body="return None"), "acme-a 2.0 cannot migrate config version 1 to 2"),
        (MIGRATE.format(body="return 3"), "acme-a 2.0 cannot migrate config version 1 to 2"),
        (MIGRATE.format(body="return 1 / 0"), "acme-a 2.0 failed to migrate its config: ZeroDivisionError"),
        (MIGRATE.format(body="raise SystemExit(3)"), "acme-a 2.0 failed to migrate its config: SystemExit: 3"),
        (MIGRATE.format(body="return {**config}"), "kernel acme-a/k.size: found a field that does not exist"),
    ],
)
def test_a_configuration_that_cannot_be_migrated(garden: Garden, checkpoint: Path, more: str, message: str) -> None:
    actual = refused(plant(garden, version=2, field="extent", more=more, release="2.0"), checkpoint)
    assert message in actual
    assert "pip install --upgrade acme-a==1.0" in actual


def test_a_component_that_the_installed_version_lacks(garden: Garden, checkpoint: Path) -> None:
    garden.uproot("acme-a")
    garden.plant("acme-a", version="0.5")
    assert "acme-a 0.5 does not provide it, 1.0 did" in (message := refused(garden.registry(), checkpoint))
    assert message.endswith("'acme-a>=1.0'")
    garden.uproot("acme-a")
    garden.plant("acme-a", version="2.0")
    assert refused(garden.registry(), checkpoint).endswith("acme-a==1.0")


def test_a_plugin_in_quarantine_is_quoted(garden: Garden, checkpoint: Path) -> None:
    garden.uproot("acme-a")
    garden.plant("acme-a", "raise RuntimeError('no luck')")
    message = refused(garden.registry(), checkpoint)
    assert "acme-a 1.0 is in quarantine since stage 'import': RuntimeError: no luck" in message
    assert "pip" not in message


def test_a_plugin_for_another_core_is_upgraded_with_it(garden: Garden, checkpoint: Path) -> None:
    message = refused(plant(garden, requires=("itnet-core>=9",)), checkpoint)
    assert "expected itnet-core>=9" in message
    assert message.endswith("Run: pip install --upgrade 'acme-a>=1.0' itnet-core")


def test_a_plugin_that_the_environment_leaves_out(garden: Garden, checkpoint: Path) -> None:
    registry = garden.registry(disable=frozenset({"acme-a"}))
    message = refused(registry, checkpoint)
    assert "kernel acme-a/k: acme-a 1.0 is left out by ITNET_DISABLE" in message
    assert "pip" not in message


def test_another_plugins_bare_name_is_no_substitute(garden: Garden, checkpoint: Path) -> None:
    garden.uproot("acme-a")
    garden.plant_kernel("acme-b", "acme-a/k", "itnet_toy.parts:Constant")
    assert "acme-a is not installed" in refused(garden.registry(), checkpoint)


def test_what_a_component_requires_is_in_the_command(garden: Garden, checkpoint: Path) -> None:
    garden.uproot("acme-a")
    plugin = PLUGIN.format(version=1, more="").replace("config_version=1", "requires=('acme-absent>=2',)")
    garden.plant("acme-a", plugin, modules={"parts": PARTS.format(field="size")})
    assert refused(garden.registry(), checkpoint).endswith("Run: pip install --upgrade 'acme-absent>=2'")


def test_a_preference_does_not_redirect_a_checkpoint(garden: Garden, checkpoint: Path) -> None:
    garden.plant_kernel("acme-b", "k", "itnet_toy.parts:Constant")
    model: Any = garden.registry(prefer=("acme-b/k",)).load_model(checkpoint)
    assert model.config["trunk"][0]["kernel"]["name"] == "acme-a/k"
