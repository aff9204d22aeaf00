from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from itnet_registry import CheckpointError, PluginError
from itnet_registry.plugins.citations import entries

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

PLUGIN = """
    @hookimpl
    def itnet_register_components(api):
        return [ComponentSpec("kernel", "k", "acme_a.parts:K", "", citations={keys})]

    @hookimpl
    def itnet_register_commands(api):
        return [CommandSpec("drill", "acme_a.parts:drill", "", {{"drill": "acme_a.parts:Drill"}}, ("smith2021",))]
"""
PARTS = """
    from itnet_core import ComponentConfig
    from itnet_toy.parts import Constant
    class Drill(ComponentConfig):
        pass
    class K(Constant):
        class Config(ComponentConfig):
            heads: int = 1
"""
BIB = """
% Comments stay out.
@article{smith2020, title = {A {K}ernel}, year = 2020}
@misc{smith2021, title = {Drills}}
@misc{paszke2019pytorch, title = {Another work}}
"""


def plant(garden: Garden, keys: str) -> None:
    garden.uproot("acme-a")
    garden.plant("acme-a", PLUGIN.format(keys=keys), modules={"parts": PARTS})
    (garden.root / "acme_a" / "citations.bib").write_text(BIB)


@pytest.fixture
def run(garden: Garden, tmp_path: Path) -> Path:
    """A run directory of a model with kernel acme-a/k, which declares a citation and one of a key of the core's."""
    garden.toy()
    plant(garden, "('smith2020', 'paszke2019pytorch')")
    registry = garden.registry()
    model = registry.create_model("toy", depth=1, encoder="pixels", kernel="acme-a/k", heads={})
    registry.save_model(model, tmp_path / "run" / "best")
    (tmp_path / "run" / "config.yaml").write_text("model: {preset: toy}\ndrill: {}\n")
    return tmp_path / "run"


def test_a_run_cites_its_components_and_the_commands_of_its_sections(garden: Garden, run: Path) -> None:
    found = garden.registry().citations(run)
    assert list(found) == ["dhor2026itnet", "paszke2019pytorch", "smith2020", "paszke2019pytorch-acme-a", "smith2021"]
    assert found["smith2020"] == "@article{smith2020, title = {A {K}ernel}, year = 2020}"
    assert found["paszke2019pytorch-acme-a"] == "@misc{paszke2019pytorch-acme-a, title = {Another work}}"


def test_a_checkpoint_cites_its_components(garden: Garden, run: Path) -> None:
    assert [*garden.registry().citations(run / "best")] == [*garden.registry().citations(run)][:-1]


def test_a_folder_without_checkpoints_is_refused(garden: Garden, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no itnet\.json in it, nor in a folder of it"):
        garden.registry().citations(tmp_path)


def test_a_missing_entry_names_the_plugin(garden: Garden, run: Path) -> None:
    (garden.root / "acme_a" / "citations.bib").write_text("")
    with pytest.raises(PluginError, match=r"citations\.bib of acme-a 1\.0: found no entry 'smith2020'"):
        garden.registry().citations(run)
    (garden.root / "acme_a" / "citations.bib").unlink()
    with pytest.raises(PluginError, match=r"citations\.bib of acme-a 1\.0: found .*No such file"):
        garden.registry().citations(run)


@pytest.mark.parametrize(
    ("text", "found"),
    [("@misc{a, title = {{A}", "not closed"), ("@misc{a, year = 1}\n@misc{a, year = 2}", "two entries of this key")],
)
def test_broken_files_are_refused(text: str, found: str) -> None:
    with pytest.raises(PluginError, match=found):
        entries(text)
