"""Files that a configuration names are read for a user's configuration, and never for a checkpoint's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from itnet_core import ITNetError
from itnet_registry import Registry

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

PLUGIN = """
    @hookimpl
    def itnet_register_components(api):
        return [
            ComponentSpec(kind="encoder", name="words", target="acme_a.parts:Words", summary="", modality="text"),
            ComponentSpec(kind="encoder", name="outer", target="acme_a.parts:Outer", summary="", modality="pair"),
        ]
"""
PARTS = """
    from pathlib import Path
    from typing import Annotated
    import torch
    from itnet_core import ComponentConfig, ComponentRef, Encoder, RefersTo
    from itnet_registry import build_component

    class Words(Encoder):
        modality = "text"

        class Config(ComponentConfig):
            file: str
            count: int | None = None
            weights: str | None = None

            def completed(self):
                if self.count is not None:
                    return self
                return self.model_copy(update={"count": len(Path(self.file).read_text())})

        def __init__(self, dim, config=None, **options):
            super().__init__(dim, config, **options)
            self.embedding = torch.nn.Embedding(self.config.count or 5, dim)

        def load_pretrained(self):
            if self.config.weights is not None:
                torch.nn.init.constant_(self.embedding.weight, float(Path(self.config.weights).read_text()))

        def forward(self, inputs):
            raise NotImplementedError

    class Outer(Encoder):
        modality = "pair"

        class Config(ComponentConfig):
            words: Annotated[ComponentRef, RefersTo("encoder", "text")] = ComponentRef(name="acme-a/words")

        def __init__(self, dim, config=None, **options):
            super().__init__(dim, config, **options)
            self.words = build_component("encoder", self.config.words, dim)

        def forward(self, inputs):
            raise NotImplementedError
"""


@pytest.fixture
def registry(garden: Garden) -> Registry:
    garden.toy()
    garden.plant("acme-a", PLUGIN, modules={"parts": PARTS})
    return garden.registry()


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "words.txt").write_text("abcde")
    (tmp_path / "weights.txt").write_text("0.5")
    return {"file": str(tmp_path / "words.txt"), "weights": str(tmp_path / "weights.txt")}


def encoder(options: dict[str, Any], nested: bool) -> dict[str, Any]:
    return {"name": "outer", "words": options} if nested else {"name": "words", **options}


@pytest.mark.parametrize("nested", [False, True])
def test_a_new_model_is_completed_and_pretrained(registry: Registry, options: dict[str, str], nested: bool) -> None:
    model: Any = registry.create_model("toy", encoder=encoder(options, nested), heads={})
    [part] = model.encoders.values()
    part, config = (part.words, part.config.words.options) if nested else (part, part.config.model_dump())
    assert config["count"] == part.embedding.num_embeddings == 5
    assert torch.equal(part.embedding.weight, torch.full_like(part.embedding.weight, 0.5))


def test_a_created_component_is_completed_and_pretrained(registry: Registry, options: dict[str, str]) -> None:
    words = registry.create("encoder", "words", dim=4, **options)
    assert torch.equal(words.embedding.weight, torch.full((5, 4), 0.5))


@pytest.mark.parametrize("nested", [False, True])
def test_a_checkpoint_is_loaded_without_the_files(
    registry: Registry, options: dict[str, str], nested: bool, tmp_path: Path
) -> None:
    model = registry.create_model("toy", encoder=encoder(options, nested), heads={})
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.25)
    registry.save_model(model, tmp_path / "c")
    for file in options.values():
        Path(file).unlink()
    again = registry.load_model(tmp_path / "c")
    assert again.config == model.config
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("nested", [False, True])
def test_a_hostile_checkpoint_opens_no_file(
    registry: Registry, options: dict[str, str], nested: bool, tmp_path: Path
) -> None:
    """Its configuration is incomplete, and names files that are not there: reading them would fail."""
    registry.save_model(registry.create_model("toy", encoder=encoder(options, nested), heads={}), tmp_path / "c")
    manifest = json.loads((tmp_path / "c/itnet.json").read_text())
    [config] = manifest["config"]["encoders"].values()
    hostile = config["words"] if nested else config
    hostile |= {"count": None, "file": str(tmp_path / "secret"), "weights": str(tmp_path / "secret")}
    (tmp_path / "c/itnet.json").write_text(json.dumps(manifest))
    loaded = registry.load_model(tmp_path / "c")
    assert loaded.config == manifest["config"]


def test_a_file_that_cannot_be_read_has_its_place(registry: Registry, options: dict[str, str]) -> None:
    with pytest.raises(ITNetError, match=r"^model\.encoder: encoder acme-a/words of acme-a 1\.0: found FileNotFound"):
        registry.create_model("toy", encoder={"name": "words", "file": "absent"}, heads={})
