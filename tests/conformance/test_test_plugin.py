"""The command `itnet test-plugin`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BROKEN = Path(__file__).parent / "broken"


PLUGIN = """
from itnet_core import ComponentSpec
from itnet_core import hookimpl

@hookimpl
def itnet_register_components(api):
    target = "itnet_broken.heads:PaddingInvariance"
    meshes = "itnet_pointcloud.tasks.folder:MeshFolder"
    return [
        ComponentSpec(kind="head", name="mean", target=target, summary="ignores weights"),
        ComponentSpec(kind="kernel", name="gone", target="poor_plugin:Gone", summary="its class is missing"),
        ComponentSpec(kind="sampler", name="loud", target="poor_loud:Loud", summary="prints"),
        ComponentSpec(kind="task", name="meshes", target=meshes, summary="needs a root", modality="point-cloud"),
    ]
"""

LOUD = """
from itnet_core import FullSampler

class Loud(FullSampler):
    \"\"\"Every point, loudly.\"\"\"

    def forward(self, query, key):
        print("here")
        return key
"""


def install(folder: Path, entry_points: str, **modules: str) -> None:
    """Write a distribution `itnet-poor`."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    information = folder / "itnet_poor-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: itnet-poor\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[itnet.plugins]\n{entry_points}\n")


def itnet(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, with a folder of installed distributions if there is one."""
    environment = os.environ if path is None else os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (path, BROKEN)))}
    command = [sys.executable, "-m", "itnet_registry", "test-plugin", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_it_tells_what_failed(tmp_path: Path) -> None:
    install(tmp_path, "poor = poor_plugin", poor_plugin=PLUGIN, poor_loud=LOUD)
    done = itnet("ITNet.poor", "--json", path=tmp_path)  # as pip, it takes any spelling
    assert done.returncode == 1, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"] is False
    [failed] = [
        outcome
        for outcome in report["components"]["head itnet-poor/mean"]
        if outcome["status"] not in ("passed", "skipped")
    ]
    assert failed["check"] == "padding_invariance"
    [outcome] = report["components"]["kernel itnet-poor/gone"]
    assert (outcome["check"], outcome["status"]) == ("load", "failed")
    assert "has no attribute 'Gone'" in outcome["detail"]
    assert outcome["detail"].endswith(f"Fix it in {tmp_path / 'poor_plugin.py'}.")
    assert all(o["status"] in ("passed", "skipped") for o in report["components"]["sampler itnet-poor/loud"])
    [outcome] = report["components"]["task itnet-poor/meshes"]
    assert (outcome["check"], outcome["status"]) == ("options", "failed")
    assert "MeshFolder.root: found nothing" in outcome["detail"]
    assert "pass a file with --options" in outcome["detail"]
    without_sampler = [line for line in PLUGIN.splitlines() if "poor_loud" not in line]
    (tmp_path / "poor_plugin.py").write_text("\n".join(without_sampler))  # checking a sampler again takes seconds
    done = itnet("itnet-poor", path=tmp_path)
    assert done.returncode == 1
    assert "head itnet-poor/mean: 13 of 14 checks passed, 1 skipped" in done.stdout
    [place] = [line for line in done.stdout.splitlines() if line.startswith("head itnet-poor/mean, ")]
    assert place == "head itnet-poor/mean, padding_invariance failed"
    after = done.stdout.splitlines()[done.stdout.splitlines().index(place) + 1]
    assert after.startswith("    predictions with and without points of weight 0 differ: ")
    assert "Traceback" not in done.stdout
    assert "itnet test-plugin itnet-poor --traceback" in done.stdout


def test_a_distribution_of_which_a_part_was_set_aside(tmp_path: Path) -> None:
    install(tmp_path, "poor = poor_plugin\nother = other_plugin", poor_plugin=PLUGIN, other_plugin="1 / 0")
    done = itnet("itnet-poor", "--json", path=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "itnet-poor 1.0 is in quarantine since stage 'import': ZeroDivisionError" in done.stderr
    assert f"Fix {tmp_path / 'other_plugin.py'}:1." in done.stderr


@pytest.mark.slow
def test_a_distribution_that_is_well(tmp_path: Path) -> None:
    options = tmp_path / "options.yaml"
    options.write_text("patch: {patch_size: 4}\n")
    done = itnet("itnet-core")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kernel itnet-core/mlp: 25 of 25 checks passed, 1 skipped" in done.stdout
    assert "evaluator itnet-core/tiled: 20 of 20 checks passed" in done.stdout
    done = itnet("itnet-core", "--options", str(options))
    assert done.returncode == 2
    assert "options: found 'patch'; expected names of its components: field, mlp" in done.stderr


def test_a_distribution_that_is_not_there() -> None:
    done = itnet("itnet-nonsense")
    assert done.returncode == 2
    assert "found 'itnet-nonsense'" in done.stderr
