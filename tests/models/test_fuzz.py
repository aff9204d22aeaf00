"""Fuzz tests: any configuration or `itnet.json` gives a model or an `ITNetError`.

The examples are fixed; `HYPOTHESIS_PROFILE=random` draws new ones.
"""

from __future__ import annotations

import copy
import hashlib
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itnet_core import ITNetError
from itnet_core.plugin.config import parse
from itnet_registry import create_model, load_model, save_model
from itnet_registry.api import default_registry
from itnet_registry.build.builder import build
from itnet_registry.config.files import load_config
from itnet_registry.config.resolve import resolve
from itnet_registry.config.sections import section_model

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.integers()
    | st.sampled_from([2**31, 2**63, 10**18, 10**400, -(10**30)])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["mlp", "patch", "itnet-core/mlp", "classify", "auto", "../../x", "a.b", "name", "\ud800", "\0"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just("name"), inner, max_size=3)
    ),
    max_leaves=6,
)


def items_of(tree: Any) -> list[tuple[Any, Any]]:
    """Return each (container, key) in nested dictionaries and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [item for key, value in items for item in [(tree, key), *items_of(value)]]


@st.composite
def mutated(draw: st.DrawFn, tree: Any) -> Any:
    """Replace, remove, rename or copy some items of nested dictionaries and lists."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        items = items_of(tree)
        if not items:
            return draw(values)
        container, key = draw(st.sampled_from(items))
        match draw(st.sampled_from(["replace", "replace", "remove", "rename", "copy"])):
            case "replace":
                container[key] = draw(values)
            case "remove":
                del container[key]
            case "rename" if isinstance(container, dict):
                container[draw(st.text(max_size=6))] = container.pop(key)
            case _:
                source, name = draw(st.sampled_from(items))
                present = isinstance(source, list) or name in source
                container[key] = copy.deepcopy(source[name]) if present else None
    return tree


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """Change, drop or insert bytes."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(text) - 1, 0)))
        text = text[:start] + draw(st.binary(max_size=3)) + text[start + draw(st.integers(0, 40)) :]
    return text


thorough = settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a component that refers to others."""
    path = tmp_path_factory.mktemp("fuzz") / "c"
    encoder = {"name": "image-text", "image": {"name": "patch", "patch_size": 16}}
    save_model(create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3}), path)
    return path


def load(checkpoint: Path, manifest: bytes, weights: bytes | None = None) -> None:
    """Load a checkpoint with another manifest, or other weights. Exceptions other than `ITNetError` propagate."""
    copied = checkpoint.with_name("copy")
    shutil.copytree(checkpoint, copied, dirs_exist_ok=True)
    (copied / "itnet.json").write_bytes(manifest)
    if weights is not None:
        (copied / "model.safetensors").write_bytes(weights)
    try:
        load_model(copied)
    except ITNetError as error:
        str(error).encode("utf-8", "backslashreplace")


@thorough
@given(data=st.data())
def test_a_changed_manifest(checkpoint: Path, data: st.DataObject) -> None:
    manifest = json.loads((checkpoint / "itnet.json").read_text())
    load(checkpoint, json.dumps(data.draw(mutated(manifest))).encode())


@thorough
@given(data=st.data())
def test_a_damaged_manifest(checkpoint: Path, data: st.DataObject) -> None:
    load(checkpoint, data.draw(damaged((checkpoint / "itnet.json").read_bytes())))


@pytest.mark.slow
@thorough
@given(data=st.data())
def test_damaged_weights_whose_hash_fits(checkpoint: Path, data: st.DataObject) -> None:
    weights = (checkpoint / "model.safetensors").read_bytes()
    size = 8 + int.from_bytes(weights[:8], "little")
    if data.draw(st.booleans()):
        head = json.dumps(data.draw(mutated(json.loads(weights[8:size])))).encode()
        weights = len(head).to_bytes(8, "little") + head + weights[size:]
    else:
        weights = data.draw(damaged(weights[:size])) + weights[size:]
    manifest = json.loads((checkpoint / "itnet.json").read_text())
    manifest["sha256"] = hashlib.sha256(weights).hexdigest()
    load(checkpoint, json.dumps(manifest).encode(), weights)


def test_numbers_in_a_checkpoint_do_not_allocate_memory(checkpoint: Path) -> None:
    manifest = json.loads((checkpoint / "itnet.json").read_text())
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30, hard))  # should it fail, the machine goes on
    try:
        for number, (container, key) in enumerate(items_of(manifest["config"])):
            for value in () if isinstance(container[key], dict) else (2**31, 10**18, 10**400):
                changed = copy.deepcopy(manifest)
                container, key = items_of(changed["config"])[number]
                container[key] = value
                load(checkpoint, json.dumps(changed).encode())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # in KB


def read(path: Path) -> None:
    """Validate a configuration as `itnet validate` does. Exceptions other than `ITNetError` propagate."""
    registry = default_registry()
    try:
        sections = load_config(path)
        for name, section in sections.items():
            if name != "model":
                parse(section_model(registry, name, name), section, name)
        if "model" in sections:
            build(registry, resolve(registry, sections["model"]))
    except ITNetError as error:
        str(error).encode("utf-8", "backslashreplace")


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
@thorough
@given(data=st.data())
def test_a_changed_configuration(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    example = data.draw(st.sampled_from(EXAMPLES))
    config = data.draw(mutated(yaml.safe_load(example.read_text())))
    path = tmp_path / f"config{suffix}"
    text = json.dumps(config) if suffix == ".json" else yaml.safe_dump(config)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    read(path)


@thorough
@given(data=st.data())
def test_a_damaged_configuration(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(data.draw(damaged(data.draw(st.sampled_from(EXAMPLES)).read_bytes())))
    read(path)
