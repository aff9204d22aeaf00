"""A plugin that is no part of ours, installed from its own folder, works beside ours without a line changed here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party"

USE = """
import sys, torch
from itnet_registry import create_model, load_model, save_model

classify = {"name": "classify", "classes": 3}
model = create_model("itnet-nano", encoder="spectrum", kernel={"name": "harmonic", "heads": 8}, head=classify).eval()
save_model(model, sys.argv[1])
signals = torch.randn(4, 1000)
assert torch.equal(load_model(sys.argv[1])(signals), model(signals))
print(tuple(model(signals).shape))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin installed, beside this environment."""
    folder = tmp_path_factory.mktemp("third_party")
    shutil.copytree(EXAMPLE, folder / "source")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--target")
    run("-m", "pip", "install", *options, folder / "site", folder / "source")
    return folder / "site"


def run(*command: str | Path, site: Path | None = None) -> str:
    """Run Python with what is installed in `site`, and return its stdout."""
    environment = os.environ | ({} if site is None else {"PYTHONPATH": str(site)})
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_beside_ours(site: Path) -> None:
    listed = json.loads(run("-m", "itnet_registry", "list", "--json", site=site))
    ids = {item["id"] for item in listed["components"]}
    assert ids >= {"spectrum-for-itnet/spectrum", "spectrum-for-itnet/harmonic", "itnet-image/patch"}
    assert listed["quarantined"] == []


def test_a_model_of_it_is_built_saved_and_loaded_by_names(site: Path, tmp_path: Path) -> None:
    assert run("-c", USE, tmp_path / "model", site=site) == "(4, 3)\n"
    manifest = json.loads((tmp_path / "model/itnet.json").read_text())
    assert manifest["components"]["encoders.signal"]["distribution"] == "spectrum-for-itnet"


def test_it_passes_the_kit(site: Path) -> None:
    actual = json.loads(run("-m", "itnet_registry", "test-plugin", "spectrum-for-itnet", "--json", site=site))
    assert actual["ok"]
    assert {name: len(checks) > 10 for name, checks in actual["components"].items()} == {
        "encoder spectrum-for-itnet/spectrum": True,
        "kernel spectrum-for-itnet/harmonic": True,
    }


@pytest.mark.slow
def test_its_own_tests_pass(site: Path) -> None:
    tests = site.parent / "source/tests"
    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests.parent, tests, site=site)
    assert re.search(r"^\d\d passed", output, re.MULTILINE), output
