"""Components that refer to other components by their names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from itnet_core import ITNetError
from itnet_registry import CheckpointError, Registry

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

PLUGIN = """
    @hookimpl
    def itnet_register_components(api):
        return [
            ComponentSpec(kind="encoder", name="pair", target="acme_a.parts:Pair", summary="", modality="pair"),
            ComponentSpec(kind="encoder", name="album", target="acme_a.parts:Album", summary="", modality="album"),
            ComponentSpec(kind="encoder", name="twice", target="acme_a.parts:Twice", summary="", modality="any"),
            ComponentSpec(kind="encoder", name="nothing", target="acme_a.parts:Nothing", summary="", modality="any"),
            ComponentSpec(kind="task", name="pairs", target="acme_a.parts:Pairs", summary="", modality="pair"),
        ]
"""
PARTS = """
    from typing import Annotated
    from itnet_core import ComponentConfig, Encoder, union
    from itnet_core import ComponentRef, RefersTo
    from itnet_registry import create
    from itnet_toy.parts import Stripes

    class Pair(Encoder):
        modality = "pair"

        class Config(ComponentConfig):
            image: Annotated[ComponentRef, RefersTo("encoder", "image")] = ComponentRef(name="pixels", bias=False)
            words: Annotated[ComponentRef, RefersTo("encoder", "text")] = ComponentRef(name="letters")

        def __init__(self, dim, config=None, **options):
            super().__init__(dim, config, **options)
            for name in ("image", "words"):
                reference = getattr(self.config, name)
                self.add_module(name, create("encoder", reference.name, dim=dim, **reference.options))

        def forward(self, inputs):
            return union([self.image(inputs[0]), self.words(inputs[1])])

    class Album(Encoder):
        modality = "album"

        class Config(ComponentConfig):
            images: Annotated[tuple[ComponentRef, ...], RefersTo("encoder", "image")]

        def __init__(self, dim, config=None, **options):
            super().__init__(dim, config, **options)
            for number, reference in enumerate(self.config.images):
                self.add_module(str(number), create("encoder", reference.name, dim=dim, **reference.options))

        def forward(self, inputs):
            return union([getattr(self, str(number))(each) for number, each in enumerate(inputs)])

    class Twice(Encoder):
        modality = "any"

        class Config(ComponentConfig):
            inner: Annotated[ComponentRef, RefersTo("encoder")]

        def __init__(self, dim, config=None, **options):
            super().__init__(dim, config, **options)
            self.inner = create("encoder", self.config.inner.name, dim=dim, **self.config.inner.options)

        def forward(self, inputs):
            return self.inner(inputs).map(lambda values: 2 * values)

    class Nothing(Encoder):
        modality = "any"

        def forward(self, inputs):
            return inputs

    class Pairs(Stripes):
        modality = "pair"

        @property
        def encoder_options(self):
            return {"image": {"channels": 1, "unheard_of": 2}}
"""
INPUTS = (torch.ones(2, 4, 4, 1), torch.zeros(2, 5, dtype=torch.int64))


@pytest.fixture
def registry(garden: Garden) -> Registry:
    garden.toy()
    garden.plant("acme-a", PLUGIN, modules={"parts": PARTS})
    return garden.registry()


def pair(registry: Registry, **options: Any) -> Any:
    model: Any = registry.create_model("toy", encoder={"name": "pair", **options}, head={"name": "regress"})
    return model.config["encoders"]["pair"]


def test_references_are_completed(registry: Registry) -> None:
    assert pair(registry) == {
        "name": "acme-a/pair",
        "image": {"name": "itnet-toy/pixels", "channels": 3, "bias": False},
        "words": {"name": "itnet-toy/letters", "vocabulary": 26},
    }


@pytest.mark.parametrize("form", ["itnet-toy/letters", {"name": "letters"}, {}])
def test_a_reference_may_be_a_name_or_options_alone(registry: Registry, form: Any) -> None:
    assert pair(registry, words=form)["words"] == {"name": "itnet-toy/letters", "vocabulary": 26}


def test_options_are_merged_into_the_default_unless_another_component_is_named(registry: Registry) -> None:
    assert pair(registry, image={"channels": 2})["image"]["bias"] is False
    assert pair(registry, image={"name": "pixels", "channels": 2})["image"]["bias"] is False


def test_a_task_fills_the_options_of_what_its_encoder_refers_to(registry: Registry) -> None:
    for options, channels in (({}, 1), ({"image": {"channels": 5}}, 5)):
        model: Any = registry.create_model("toy", encoder={"name": "pair", **options}, task="pairs")
        assert model.config["encoders"]["pair"]["image"]["channels"] == channels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": "pixels"}, r"model.encoder.words: found itnet-toy/pixels, which is of image; .* text.*letters"),
        ({"words": {"vocabulary": "many"}}, r"model.encoder.words.vocabulary: found 'many'"),
        ({"image": {"chanels": 3}}, r"model.encoder.image.chanels: .*Did you mean 'channels'"),
        ({"image": "no-such"}, r"model.encoder.image: found 'no-such'"),
        ({"image": 3}, r"model.encoder.image"),
    ],
)
def test_a_wrong_reference_is_named_by_its_path(registry: Registry, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ITNetError, match=message):
        pair(registry, **options)


def album(registry: Registry, **options: Any) -> Any:
    return registry.create_model("toy", encoder={"name": "album", **options}, head="regress")


def test_a_list_of_references(registry: Registry, tmp_path: Path) -> None:
    model = album(registry, images=["pixels", {"name": "pixels", "channels": 1, "bias": False}]).eval()
    first, second = model.config["encoders"]["album"]["images"]
    assert first["name"] == second["name"] == "itnet-toy/pixels"
    assert (first["channels"], second["channels"], second["bias"]) == (3, 1, False)
    registry.save_model(model, tmp_path / "c")
    records = json.loads((tmp_path / "c/itnet.json").read_text())["components"]
    assert records["encoders.album.images.1"]["name"] == "itnet-toy/pixels"
    inputs = torch.ones(2, 4, 4, 3), torch.ones(2, 4, 4, 1)
    assert torch.equal(registry.load_model(tmp_path / "c")(inputs), model(inputs))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": ["pixels", {"name": "pixels", "chanels": 3}]}, r"model.encoder.images.1.chanels: .*'channels'"),
        ({"images": ["pixels", "letters"]}, r"model.encoder.images.1: found itnet-toy/letters, which is of text"),
        ({"images": ["pixels", {}]}, r"model.encoder.images.1.name: found nothing"),
        ({"images": "pixels"}, r"model.encoder.images: found 'pixels'"),
        ({}, r"model.encoder.images: found nothing"),
    ],
)
def test_a_wrong_reference_of_a_list_is_named_by_its_path(
    registry: Registry, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ITNetError, match=message):
        album(registry, **options)


def save(registry: Registry, path: Path) -> Any:
    model = registry.create_model("toy", encoder={"name": "pair", "image": {"channels": 1}}, head="regress").eval()
    registry.save_model(model, path)
    return model


def test_a_checkpoint_records_what_a_component_refers_to(registry: Registry, tmp_path: Path) -> None:
    model = save(registry, tmp_path / "c")
    records = json.loads((tmp_path / "c/itnet.json").read_text())["components"]
    assert records["encoders.pair.words"]["name"] == "itnet-toy/letters"
    assert torch.equal(registry.load_model(tmp_path / "c")(INPUTS), model(INPUTS))


def test_what_a_component_refers_to_is_missed_too(garden: Garden, registry: Registry, tmp_path: Path) -> None:
    save(registry, tmp_path / "c")
    garden.uproot("itnet-toy")
    with pytest.raises(CheckpointError, match="encoder itnet-toy/letters: itnet-toy is not installed") as caught:
        garden.registry().load_model(tmp_path / "c")
    assert "encoder itnet-toy/pixels" in str(caught.value)


@pytest.mark.parametrize("change", [lambda r: r.update(name="itnet-toy/other"), lambda r: r.clear()])
def test_records_that_differ_from_the_configuration_are_refused(
    registry: Registry, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    save(registry, tmp_path / "c")
    path = tmp_path / "c/itnet.json"
    manifest = json.loads(path.read_text())
    change(manifest["config"]["encoders"]["pair"]["words"])
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="encoders.pair.words"):
        registry.load_model(tmp_path / "c")


def test_an_encoder_of_any_modality_has_that_of_the_encoder_inside(registry: Registry) -> None:
    images, texts = (
        {"name": "twice", "inner": {"name": "twice", "inner": "pixels"}},
        {"name": "twice", "inner": "letters"},
    )
    model = registry.create_model("toy", encoders={"image": images, "text": texts}, heads={})
    assert model.config is not None
    assert list(model.encoders) == ["image", "text"]
    assert model.config["encoders"]["image"]["inner"]["name"] == "acme-a/twice"
    assert model.config["encoders"]["text"]["inner"]["name"] == "itnet-toy/letters"
    pair = registry.create_model("toy", encoder={"name": "pair", "image": images}, heads={})
    assert list(pair.encoders) == ["pair"]


def test_a_task_fixes_options_of_the_encoder_inside(registry: Registry) -> None:
    encoder = {"name": "twice", "inner": {"name": "pair", "image": {"bias": True}}}
    model = registry.create_model("toy", encoder=encoder, task="pairs")
    assert model.config is not None
    assert model.config["encoders"]["pair"]["inner"]["image"] == {
        "name": "itnet-toy/pixels",
        "channels": 1,
        "bias": True,
    }


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"name": "twice"}, "model.encoder.inner.name: found nothing"),
        ({"name": "twice", "inner": "nowhere"}, "model.encoder.inner"),
        ({"name": "twice", "inner": {"name": "pixels", "size": 3}}, "model.encoder.inner.size"),
        ({"name": "nothing"}, "encoder acme-a/nothing of acme-a 1.0: found Nothing.Config without a reference"),
    ],
)
def test_an_encoder_of_any_modality_without_another_is_refused(
    registry: Registry, encoder: dict[str, Any], message: str
) -> None:
    with pytest.raises(ITNetError) as caught:
        registry.create_model("toy", encoder=encoder, heads={})
    assert message in str(caught.value)
