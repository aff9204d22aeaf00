from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from itnet_core import ITNetError
from itnet_registry.config.schemas import component_schema, config_schema

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

jsonschema = pytest.importorskip("jsonschema")


def refuse(error: Exception) -> None:
    raise error


@pytest.fixture
def schema(garden: Garden) -> Any:
    garden.toy()
    schema = config_schema(garden.registry(), refuse)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_a_component_has_a_schema_with_its_fields_described(garden: Garden) -> None:
    garden.toy()
    schema = component_schema(garden.registry().component("encoder", "pixels"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "itnet-toy/pixels"
    assert schema["properties"]["channels"]["description"] == "Channels of an image."
    assert jsonschema.Draft202012Validator(schema).is_valid({"channels": 2})
    assert not jsonschema.Draft202012Validator(schema).is_valid({"channels": 0})


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model": {"preset": "toy", "encoder": "pixels", "task": "stripes"}, "greet": {"name": "you"}},
        {"model": {"width": 8, "encoder": {"name": "itnet-toy/pixels", "channels": 2}, "head": {"name": "classify"}}},
        {"model": {"kernel": {"name": "mlp", "support": {"radius": 0.5}}}, "task": {"name": "stripes", "size": 4}},
        {
            "model": {
                "kernel": {"heads": 2},
                "heads": {"image": None, "text": "regress"},
                "encoders": {"text": "letters"},
            }
        },
    ],
)
def test_what_is_sound_fits_the_schema(schema: Any, config: dict[str, Any]) -> None:
    schema.validate(config)


@pytest.mark.parametrize(
    "config",
    [
        {"modle": {}},
        {"greet": {"nmae": "you"}},
        {"model": {"widht": 8}},
        {"model": {"kernel": "mlpp"}},
        {"model": {"kernel": {"name": "mlpp"}}},
        {"model": {"kernel": {"name": "mlp", "head": 2}}},
        {"model": {"kernel": {"name": "mlp", "support": {"radius": -1}}}},
        {"model": {"encoders": {"image": 3}}},
    ],
)
def test_what_is_wrong_does_not(schema: Any, config: dict[str, Any]) -> None:
    assert not schema.is_valid(config)


def test_every_field_of_a_model_is_described(schema: Any) -> None:
    fields = schema.schema["properties"]["model"]["properties"]
    assert {"preset", "width", "kernel", "encoders", "heads", "tasks", "prefer"} < set(fields)
    assert not [name for name, field in fields.items() if not field.get("description")]


def test_a_component_that_cannot_be_loaded_is_left_out_and_reported(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "k", "acme_a.nothing:K")
    told: list[ITNetError] = []
    schema = config_schema(garden.registry(), told.append)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert len(told) == 1
    assert "acme-a/k" in str(told[0])
