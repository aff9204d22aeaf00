from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from itnet_registry.cli import new_plugin
from itnet_registry.cli.app import app
from itnet_registry.plugins import clone
from itnet_registry.plugins.requirements import pip_install

CLONE_ROOT = clone.clone_root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with the plugin `deep-sea`, which needs a plugin that is not installed, and one that is."""
    needs = {"deep_sea": ["itnet-core>=0.1", "itnet-shallows[salt]>=0.1", "torch"], "shallows": []}
    for name, dependencies in needs.items():
        folder = tmp_path / "plugins" / name
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(f'[project]\nversion = "1.2"\ndependencies = {json.dumps(dependencies)}')
    monkeypatch.setattr(clone, "clone_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_distribution_is_installed_from_its_folder_with_what_it_needs(root: Path) -> None:
    assert pip_install(["itnet-deep-sea"]) == "pip install ./plugins/deep_sea './plugins/shallows[salt]'"


def test_extras_stay(root: Path) -> None:
    assert pip_install(["itnet-shallows[salt]"]) == "pip install './plugins/shallows[salt]'"


def test_a_folder_stands_for_the_versions_that_it_has(root: Path) -> None:
    assert pip_install(["itnet-shallows[salt]>=1.1, <2"], upgrade=True) == (
        "pip install --upgrade './plugins/shallows[salt]'"
    )


def test_other_distributions_and_versions_come_from_an_index(root: Path) -> None:
    assert pip_install(["numpy", "itnet-absent", "itnet-shallows>=2"]) == (
        "pip install itnet-absent 'itnet-shallows>=2' numpy"
    )


def test_from_another_folder_the_path_is_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "elsewhere").mkdir()
    monkeypatch.chdir(root / "elsewhere")
    assert pip_install(["itnet-shallows"]) == f"pip install {root / 'plugins/shallows'}"


def test_a_new_plugin_is_tested_by_the_kit_of_the_clone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "testing").mkdir()
    (root / "testing" / "pyproject.toml").write_text('[project]\nversion = "1.2"\ndependencies = []')
    monkeypatch.setattr(new_plugin, "clone_root", clone.clone_root)
    monkeypatch.setattr(new_plugin, "unmet", tuple)
    told = CliRunner().invoke(app, ["new-plugin", "acme-tide", "--kind", "kernel"]).stdout
    assert told.endswith("now: pip install ./testing -e 'acme-tide[test]' && pytest acme-tide\n")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, False),
        ("no JSON", False),
        ('{"url": "https://example.org/registry"}', False),
        ('{"url": "file://ROOT/registry", "dir_info": {"editable": true}}', True),
        ('{"url": "file://ROOT/elsewhere/registry"}', False),
    ],
)
def test_the_metadata_of_the_registry_name_the_clone(
    content: str | None, found: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if content is None else content.replace("ROOT", root.as_posix())

    monkeypatch.setattr(clone, "distribution", lambda name: Installed())
    CLONE_ROOT.cache_clear()
    try:
        assert CLONE_ROOT() == (root if found else None)
    finally:
        CLONE_ROOT.cache_clear()
