from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import itnet
import itnet_registry
import itnet_train

ROOT = Path(__file__).parents[2]


def test_it_exports_what_the_registry_exports_and_training() -> None:
    assert set(itnet.__all__) == {*itnet_registry.__all__, "evaluate", "train"}
    assert itnet.create_model is itnet_registry.create_model
    assert itnet.train is itnet_train.train
    assert set(dir(itnet)) == set(itnet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = itnet.trian


def test_the_import_loads_no_torch() -> None:
    code = "import sys, itnet; itnet.Registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_training_without_its_distribution_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "itnet_train", None)
    with pytest.raises(ImportError, match=r"itnet\.train needs itnet-train: pip install 'itnet\[train\]'"):
        _ = itnet.train


def test_each_plugin_is_an_extra_and_all_has_those_for_every_machine() -> None:
    extras = tomllib.loads((ROOT / "meta/pyproject.toml").read_text())["project"]["optional-dependencies"]
    plugins = {path.parent.name.replace("_", "-") for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert extras.keys() == plugins | {"all", "hub"}
    assert all(extras[name][0].startswith(f"itnet-{name}") for name in plugins)
    [everything] = extras["all"]
    names = everything.removeprefix("itnet[").removesuffix("]").split(",")
    assert set(names) == plugins - {"native", "triton"} | {"hub"}
