from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from typer.testing import CliRunner

from itnet_registry import AmbiguousNameError, CheckpointError, Registry, from_hub, installed_models, load_weights
from itnet_registry.checkpoints.addresses import locate
from itnet_registry.cli.app import app

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

CARD = """---
license: mit
model-index:
- name: stripes
  results:
  - task: {type: stripes}
    dataset: {name: Stripes}
    metrics: [{type: accuracy, value: 0.75}, {type: loss, value: 1}]
itnet: {data_license: CC0}
---
# stripes
"""


def plant(garden: Garden, registry: Registry, model: Any, name: str = "acme-models", package: str = "acme") -> None:
    """Install a distribution with a checkpoint, of a package that fails when it is imported."""
    garden.metadata(name, "2.0", (), f"[itnet.checkpoints]\nacme = {package}\n")
    registry.save_model(model, garden.root / package / "stripes")
    (garden.root / package / "__init__.py").write_text("raise RuntimeError('imported')")
    (garden.root / package / "stripes" / "README.md").write_text(CARD)


@pytest.fixture
def planted(garden: Garden, registry: Registry, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of an environment with the model acme/stripes."""
    plant(garden, registry, model)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def test_an_installed_model_is_found_by_its_name_and_not_imported(
    planted: Path, registry: Registry, model: Any
) -> None:
    [found] = [one for one in installed_models() if one.name.startswith("acme/")]
    assert (found.name, found.distribution, found.version) == ("acme/stripes", "acme-models", "2.0")
    assert found.described() == {"score": "accuracy 0.750", "data": "Stripes (CC0)", "license": "mit"}
    loaded = registry.load_model("acme/stripes")
    assert all(torch.equal(one, loaded.state_dict()[name]) for name, one in model.state_dict().items())
    load_weights(loaded, Path("acme/stripes"), new=["head"])
    assert "dhor2026itnet" in registry.citations("acme/stripes")
    assert "acme" not in sys.modules


def test_a_folder_comes_before_an_installed_model(planted: Path, registry: Registry, model: Any) -> None:
    assert locate("acme/stripes") != Path("acme/stripes")
    registry.save_model(model, "acme/stripes")
    assert locate("acme/stripes") == Path("acme/stripes")


def test_a_misspelt_name_is_corrected(planted: Path, registry: Registry, model: Any) -> None:
    with pytest.raises(CheckpointError, match=r"acme/stripe: found nothing; .* Did you mean 'acme/stripes'\?"):
        registry.load_model("acme/stripe")
    with pytest.raises(CheckpointError, match=r"Did you mean 'acme/stripes'\?"):
        load_weights(model, "acme/stripe")


def test_a_model_of_the_project_names_the_distribution_to_install(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itnet_registry.checkpoints.installed.entry_points", lambda group: ())
    with pytest.raises(CheckpointError, match="zoo/fashion: found nothing; .* Install it: pip install .*zoo"):
        registry.load_model("zoo/fashion")


def test_two_distributions_of_one_name_are_refused(
    planted: Path, garden: Garden, registry: Registry, model: Any
) -> None:
    plant(garden, registry, model, "other-models", "other")
    with pytest.raises(AmbiguousNameError, match="checkpoints of acme-models and other-models"):
        registry.load_model("acme/stripes")


def test_installed_models_are_listed_and_described(planted: Path) -> None:
    listed = CliRunner().invoke(app, ["list", "--kind", "model", "acme/*", "--json"])
    [entry] = json.loads(listed.stdout)["models"]
    assert entry.pop("bytes") > 1000
    assert entry == {
        "name": "acme/stripes",
        "score": "accuracy 0.750",
        "data": "Stripes (CC0)",
        "license": "mit",
        "distribution": "acme-models",
        "version": "2.0",
    }
    assert "acme/stripes" in CliRunner().invoke(app, ["list"]).stdout
    assert json.loads(CliRunner().invoke(app, ["info", "acme/stripes", "--json"]).stdout)["id"] == "acme/stripes"


@pytest.mark.parametrize("card", ["no metadata", "---\nmodel-index: 3\n---\n", "---\n: [\n---\n"])
def test_a_damaged_card_does_not_end_the_list(planted: Path, garden: Garden, card: str) -> None:
    (garden.root / "acme/stripes/README.md").write_text(card)
    assert "acme/stripes" in CliRunner().invoke(app, ["list", "--kind", "model"]).stdout


@pytest.mark.parametrize("address", ["hf://acme", "hf://acme/a/b", "hf://", "hf://acme/a@"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(CheckpointError, match="expected hf://owner/name, or hf://owner/name@revision"):
        locate(address)


@pytest.mark.parametrize("address", ["hf://acme/birds", Path("hf://acme/birds"), "hf://acme/birds@v1"])
def test_nothing_is_downloaded_unless_allowed(
    address: str, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    message = r"hf://acme/birds(@v1)?: found no copy of it in the hub's cache; .* --download .* download: true"
    with pytest.raises(CheckpointError, match=message):
        registry.load_model(address)


def test_without_the_library_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"pip install .*registry\[hub\]"):
        from_hub("acme/birds")
