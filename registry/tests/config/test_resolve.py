from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from itnet_core import ConfigError
from itnet_registry import AmbiguousNameError, ComponentError, ModelConfig, PluginError, Registry, UnknownNameError
from itnet_registry.config.model_config import PartialRef
from itnet_registry.config.resolve import resolve

if TYPE_CHECKING:
    from registry.tests.conftest import Garden


def completed(registry: Registry, **config: Any) -> dict[str, Any]:
    return resolve(registry, config).model_dump()


def test_the_complete_form_has_everything_and_is_json(registry: Registry) -> None:
    config = completed(registry, preset="toy", task="stripes", encoder="pixels")
    assert config == {
        "width": 8,
        "trunk": [
            {
                "repeat": 1,
                "width": 8,
                "kernel": {"name": "itnet-toy/constant", "heads": 1},
                "sampler": {"name": "itnet-core/full"},
                "evaluator": {"name": "itnet-core/auto"},
                "ffn_ratio": 4.5,
                "norm": "layer",
                "norm_first": True,
                "activation": "gelu",
                "dropout": 0.0,
                "stochastic_depth": 0.0,
                "query": None,
            }
        ],
        "position": "none",
        "scan": "none",
        "encoders": {"image": {"name": "itnet-toy/pixels", "channels": 1, "bias": True}},
        "heads": {"image": {"name": "itnet-core/classify", "classes": 2}},
        "tasks": {"image": {"name": "itnet-toy/stripes", "size": 4, "colours": 1}},
    }
    assert json.loads(json.dumps(config)) == config


def test_the_complete_form_completes_to_itself(registry: Registry) -> None:
    config = completed(
        registry, preset="itnet-nano", task="stripes", encoder="pixels", kernel={"support": {"causal": "t"}}
    )
    assert completed(registry, **config) == config


def test_a_model_config_object_is_accepted(registry: Registry) -> None:
    config = ModelConfig(preset="toy", encoder=PartialRef(name="pixels"), head=PartialRef(name="per-point"), heads=None)
    assert config.encoder is not None
    assert config.encoder.options == {}
    with pytest.raises(ConfigError, match=r"model\.head\.outputs: found nothing"):
        resolve(registry, config.model_dump(exclude_unset=True))


def test_the_user_goes_before_the_task(registry: Registry) -> None:
    config = completed(registry, preset="toy", task="stripes", encoder={"name": "pixels", "channels": 5})
    assert config["encoders"]["image"]["channels"] == 5
    config = completed(
        registry, preset="toy", task="stripes", encoder="pixels", head={"name": "classify", "classes": 7}
    )
    assert config["heads"]["image"]["classes"] == 7
    config = completed(registry, preset="toy", task="stripes", encoder="pixels", head={"name": "regress"})
    assert config["heads"]["image"] == {"name": "itnet-core/regress", "outputs": 1}


def test_the_task_fills_a_head_that_is_partly_set(registry: Registry) -> None:
    heads: list[Any] = ["classify", "itnet-core/classify", {}]
    for head in heads:
        config = completed(registry, preset="toy", task="stripes", encoder="pixels", head=head)
        assert config["heads"]["image"] == {"name": "itnet-core/classify", "classes": 2}


def test_several_modalities(registry: Registry) -> None:
    config = completed(
        registry,
        preset="toy",
        encoders={"image": "pixels", "text": {"name": "letters", "vocabulary": 5}},
        tasks={"image": "stripes"},
        heads={"text": {"name": "regress"}},
    )
    assert list(config["encoders"]) == ["image", "text"]
    assert config["encoders"]["image"]["channels"] == 1
    assert config["heads"]["image"]["name"] == "itnet-core/classify"
    assert config["heads"]["text"]["name"] == "itnet-core/regress"


def test_no_heads_are_allowed_if_the_user_says_so(registry: Registry) -> None:
    assert completed(registry, preset="toy", encoder="pixels", heads={})["heads"] == {}
    assert completed(registry, preset="toy", encoder="pixels", task="stripes", heads={})["heads"] == {}
    several = {"image": "pixels", "text": "letters"}
    config = completed(registry, preset="toy", encoders=several, heads={"image": "regress", "text": None})
    assert list(config["heads"]) == ["image"]


WRONG = {
    "an unknown field": ({"widht": 3}, "model.widht: found a field that does not exist", "Did you mean 'width'?"),
    "a wrong value": ({"width": -3}, "model.width: found -3", "greater than 0"),
    "a wrong type": ({"kernel": 3}, "model.kernel: found 3", ""),
    "no width": ({"preset": None, "depth": 2}, "model.width: found nothing", "itnet-nano"),
    "no depth": ({"preset": None, "width": 8}, "model.depth: found nothing", "itnet-nano"),
    "an option of the wrong type": ({"kernel": {"name": "mlp", "heads": "two"}}, "model.kernel.heads: found 'two'", ""),
    "an option inside an option": (
        {"kernel": {"name": "mlp", "support": {"radius": -1}}},
        "model.kernel.support.radius: found -1",
        "",
    ),
    "an unknown option": (
        {"kernel": {"name": "mlp", "head": 2}},
        "model.kernel.head: found a field that does not exist",
        "Did you mean 'heads'?",
    ),
    "an encoder's option": ({"encoder": {"name": "pixels", "channels": 0}}, "model.encoder.channels: found 0", ""),
    "an encoder's option by modality": (
        {"encoder": None, "encoders": {"image": {"name": "pixels", "channels": 0}}},
        "model.encoders.image.channels: found 0",
        "",
    ),
    "a task's option": ({"task": {"name": "stripes", "size": 0}}, "model.task.size: found 0", ""),
    "a head's missing option": ({"head": "classify"}, "model.head.classes: found nothing", ""),
    "no head": ({}, "model.head: found nothing", "heads: {}"),
    "no head of one of several": (
        {"encoder": None, "encoders": {"image": "pixels", "text": "letters"}, "heads": {"image": "regress"}},
        "model.heads.text: found nothing",
        "heads: {}",
    ),
    "one head for several": (
        {"encoder": None, "encoders": {"image": "pixels", "text": "letters"}, "head": "regress"},
        "model.head: found one head for encoders of image, text",
        "",
    ),
    "a head of nothing": ({"heads": {"text": "regress"}}, "model.heads.text: found a head of text", "of image"),
    "no encoder": ({"encoder": None}, "model.encoder: found nothing", "image: encoders pixels; tasks stripes"),
    "no name": ({"encoder": {"channels": 3}}, "model.encoder.name: found nothing", "the encoder with these"),
    "both forms": ({"encoders": {"text": "letters"}}, "model.encoder: found both encoder and encoders", ""),
    "a task of another modality": (
        {"task": "vowels"},
        "model.task: found itnet-toy/vowels, a task of text, with itnet-toy/pixels, an encoder of image",
        "image: encoders pixels; tasks stripes. text: encoders letters; tasks vowels",
    ),
    "a task of another modality, by modality": (
        {"tasks": {"text": "vowels"}},
        "model.tasks.text: found",
        "a task of text",
    ),
    "an encoder under another modality": (
        {"encoder": None, "encoders": {"text": "pixels"}, "heads": {}},
        "model.encoders.text: found itnet-toy/pixels, which is of image",
        "write model.encoders.image",
    ),
    "a preference for nothing": ({"prefer": ["acme/k"]}, "model.prefer: found 'acme/k'", ""),
}


@pytest.mark.parametrize(("config", "place", "hint"), WRONG.values(), ids=WRONG.keys())
def test_an_error_names_the_path_and_the_hint(
    registry: Registry, config: dict[str, Any], place: str, hint: str
) -> None:
    config = {"preset": "toy", "encoder": "pixels", **config}
    with pytest.raises(ConfigError) as caught:
        completed(registry, **{key: value for key, value in config.items() if value is not None})
    assert str(caught.value).startswith(place)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"preset": "itnet-nan"}, "model.preset"),
        ({"kernel": "mlpp"}, "model.kernel"),
        ({"kernel": {"name": "mlpp"}}, "model.kernel"),
        ({"encoder": "pixel"}, "model.encoder"),
        ({"head": "classfy"}, "model.head"),
        ({"heads": {"image": "classfy"}}, "model.heads.image"),
    ],
)
def test_an_unknown_name_has_its_place(registry: Registry, config: dict[str, Any], place: str) -> None:
    with pytest.raises(UnknownNameError, match=f"^{place}: found .*Did you mean"):
        completed(registry, **{"preset": "toy", "encoder": "pixels", **config})


def test_prefer_in_the_configuration_pins_one(garden: Garden) -> None:
    garden.toy()
    garden.plant_kernel("acme-a", "mlp", "itnet_toy.parts:Constant")
    config = {"preset": "toy", "encoder": "pixels", "heads": {}, "kernel": "mlp"}
    with pytest.raises(AmbiguousNameError, match=r"^model\.kernel: found 'mlp'"):
        completed(garden.registry(), **config)
    assert completed(garden.registry(), prefer=["acme-a/mlp"], **config)["trunk"][0]["kernel"]["name"] == "acme-a/mlp"
    pinned = completed(garden.registry(prefer=("acme-a/mlp",)), prefer=["itnet-core/mlp"], **config)
    assert pinned["trunk"][0]["kernel"]["name"] == "itnet-core/mlp"
    assert "prefer" not in pinned


def test_a_component_that_cannot_be_used_has_its_place(garden: Garden) -> None:
    garden.toy()
    garden.plant_kernel("acme-a", "k", "acme_a.nothing:K")
    with pytest.raises(
        ComponentError, match=r"^model\.kernel: kernel acme-a/k of acme-a 1\.0: found ModuleNotFoundError"
    ):
        completed(garden.registry(), preset="toy", encoder="pixels", heads={}, kernel="k")


def task(garden: Garden, head: str) -> Registry:
    garden.toy()
    garden.plant(
        "acme-a",
        """
        @hookimpl
        def itnet_register_components(api):
            return [ComponentSpec(kind="task", name="t", target="acme_a.parts:T", summary="", modality="image")]
        """,
        modules={
            "parts": "from itnet_toy.parts import Stripes\n"
            f"class T(Stripes):\n    @property\n    def head(self): {head}"
        },
    )
    return garden.registry()


@pytest.mark.parametrize("head", ["return 'classify'", "return {'classes': 2}", "return None"])
def test_a_task_whose_head_is_none(garden: Garden, head: str) -> None:
    with pytest.raises(
        ComponentError, match=r"task acme-a/t of acme-a 1\.0: found .*expected a mapping with the head's"
    ):
        completed(task(garden, head), preset="toy", encoder="pixels", task="t")


def test_a_task_that_fails(garden: Garden) -> None:
    with pytest.raises(ComponentError, match=r"^model\.task: task acme-a/t of acme-a 1\.0: found ZeroDivisionError"):
        completed(task(garden, "return 1 / 0"), preset="toy", encoder="pixels", task="t")


def test_a_head_that_a_task_needs_and_nobody_has(garden: Garden) -> None:
    with pytest.raises(UnknownNameError, match=r"^model\.task: the head of acme-a/t: found 'nothing'"):
        completed(task(garden, "return {'name': 'nothing'}"), preset="toy", encoder="pixels", task="t")


def test_a_preset_that_is_none(garden: Garden) -> None:
    garden.toy()
    garden.plant(
        "acme-a",
        """
        @hookimpl
        def itnet_register_presets(api):
            return [PresetSpec(name="typo", summary="", config={"widht": 3}),
                    PresetSpec(name="prefers", summary="", config={"prefer": ["itnet-toy/pixels"]}),
                    PresetSpec(name="on-nothing", summary="", config={"preset": "itnet-z"}),
                    PresetSpec(name="round", summary="", config={"preset": "about"}),
                    PresetSpec(name="about", summary="", config={"preset": "round"})]
        """,
    )
    for name in ("typo", "prefers", "on-nothing", "round"):
        with pytest.raises(PluginError, match=rf"^model\.preset: preset acme-a/{name} of acme-a 1\.0: found"):
            completed(garden.registry(), preset=name, encoder="pixels")


def test_a_preset_may_build_on_another(garden: Garden) -> None:
    garden.toy()
    garden.plant(
        "acme-a",
        """
        @hookimpl
        def itnet_register_presets(api):
            return [PresetSpec(name="low", summary="", config={"preset": "toy", "depth": 3, "encoder": "pixels"}),
                    PresetSpec(name="high", summary="", config={"preset": "low", "encoder": {"channels": 2}})]
        """,
    )
    config = completed(garden.registry(), preset="high", heads={}, dropout=0.5)
    toy = completed(garden.registry(), preset="toy", encoder="pixels", heads={})
    [entry], [expected] = config["trunk"], toy["trunk"]
    assert entry == {**expected, "repeat": 3, "dropout": 0.5}
    assert config["encoders"]["image"] == {"name": "itnet-toy/pixels", "channels": 2, "bias": True}


def test_what_json_has_not_becomes_what_it_has(garden: Garden) -> None:
    garden.toy()
    config = completed(garden.registry(), preset="itnet-nano", encoder="pixels", heads={})
    assert isinstance(config["trunk"][0]["kernel"]["inputs"], list)
    assert config["trunk"][0]["kernel"]["support"] == {"causal": None, "radius": None, "window": None, "edge": 0.0}


def test_what_json_cannot_hold_is_refused(garden: Garden) -> None:
    garden.toy()
    with pytest.raises(ConfigError, match="model.kernel: found .*inf.*; expected options that JSON can hold"):
        completed(
            garden.registry(),
            preset="toy",
            encoder="pixels",
            heads={},
            kernel={"name": "mlp", "support": {"radius": math.inf}},
        )
