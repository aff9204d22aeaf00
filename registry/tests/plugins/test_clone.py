from __future__ import annotations

import json
from pathlib import Path

import pytest

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
        (folder / "pyproject.toml").write_text(f"[project]\ndependencies = {json.dumps(dependencies)}")
    monkeypatch.setattr(clone, "clone_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_distribution_is_installed_from_its_folder_with_what_it_needs(root: Path) -> None:
    assert pip_install(["itnet-deep-sea"]) == "pip install ./plugins/deep_sea './plugins/shallows[salt]'"


def test_extras_stay(root: Path) -> None:
    assert pip_install(["itnet-shallows[salt]"]) == "pip install './plugins/shallows[salt]'"


def test_other_distributions_and_ranges_come_from_an_index(root: Path) -> None:
    assert pip_install(["numpy", "itnet-absent", "itnet-shallows>=2"]) == (
        "pip install itnet-absent 'itnet-shallows>=2' numpy"
    )


def test_from_another_folder_the_path_is_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "elsewhere").mkdir()
    monkeypatch.chdir(root / "elsewhere")
    assert pip_install(["itnet-shallows"]) == f"pip install {root / 'plugins/shallows'}"


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
