from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from itnet_registry import CheckpointError
from itnet_registry.checkpoints.manifest import FORMAT, Manifest

CONFIG: dict[str, Any] = {
    "width": 8,
    "trunk": [
        {
            "repeat": 1,
            "width": 8,
            "kernel": {"name": "itnet-core/mlp", "heads": 2},
            "sampler": {"name": "itnet-core/full"},
            "evaluator": {"name": "itnet-core/auto"},
            "ffn_ratio": 4.5,
            "norm": "layer",
            "norm_first": True,
            "activation": "gelu",
            "dropout": 0.0,
            "stochastic_depth": 0.0,
            "query": None,
        }
    ],
    "position": "none",
    "scan": "none",
    "encoders": {"image": {"name": "itnet-toy/pixels"}},
    "heads": {},
    "tasks": {},
}


def record(kind: str, name: str) -> dict[str, Any]:
    distribution = name.partition("/")[0]
    return {"kind": kind, "name": name, "distribution": distribution, "version": "1.0", "config_version": 1}


MANIFEST: dict[str, Any] = {
    "format": FORMAT,
    "api": 1,
    "config": CONFIG,
    "components": {
        "trunk.0.kernel": record("kernel", "itnet-core/mlp"),
        "trunk.0.sampler": record("sampler", "itnet-core/full"),
        "trunk.0.evaluator": record("evaluator", "itnet-core/auto"),
        "encoders.image": record("encoder", "itnet-toy/pixels"),
    },
    "sha256": "0" * 64,
}


def read(tmp_path: Path, **changes: Any) -> Manifest:
    path = tmp_path / "itnet.json"
    path.write_text(json.dumps({**MANIFEST, **changes}))
    return Manifest.read(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = read(tmp_path)
    manifest.write(tmp_path / "again.json")
    assert Manifest.read(tmp_path / "again.json") == manifest
    assert json.loads((tmp_path / "again.json").read_text()) == MANIFEST


def test_one_from_before_there_were_positions_and_scan_orders_has_none(tmp_path: Path) -> None:
    before = {name: value for name, value in CONFIG.items() if name not in ("position", "scan")}
    assert read(tmp_path, config=before) == read(tmp_path)


def test_a_newer_format_says_what_to_upgrade(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"found checkpoint format 3; expected format 2.*--upgrade itnet-registry"
    ):
        read(tmp_path, format=3, something="new")


@pytest.mark.parametrize("changes", [{"format": None}, {"format": "1"}, {"format": 0}])
def test_an_unknown_format(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="found checkpoint format"):
        read(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"sha256": "zz"}, "sha256"),
        ({"config": {**CONFIG, "width": 0}}, "config.width"),
        ({"components": {"trunk.0.kernel": {}}}, "components.trunk.0.kernel.kind"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_does_not_fit_has_its_place(tmp_path: Path, changes: dict[str, Any], place: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, **changes)
    assert caught.value.place == f"{tmp_path / 'itnet.json'}.{place}"


@pytest.mark.parametrize(
    ("components", "where"),
    [
        ({"trunk.0.kernel": record("kernel", "acme/other")}, "trunk.0.kernel"),
        ({"trunk.0.kernel": record("sampler", "itnet-core/mlp")}, "trunk.0.kernel"),
        ({"trunk.1.kernel": record("kernel", "itnet-core/mlp")}, "trunk.1.kernel"),
        ({"heads.image": record("head", "itnet-core/classify")}, "heads.image"),
    ],
)
def test_records_and_configuration_agree(tmp_path: Path, components: dict[str, Any], where: str) -> None:
    with pytest.raises(CheckpointError, match=f"found records that differ from config at {where};"):
        read(tmp_path, components={**MANIFEST["components"], **components})


def test_not_even_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "itnet.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="found checkpoint format None"):
        Manifest.read(tmp_path / "itnet.json")


def test_numbers_that_json_has_not_are_refused(tmp_path: Path) -> None:
    kernel = {"name": "itnet-core/mlp", "scale": math.inf}
    config = {**CONFIG, "trunk": [{**CONFIG["trunk"][0], "kernel": kernel}]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        Manifest(**{**MANIFEST, "config": config}).write(tmp_path / "again.json")
