"""Small models of transformers with random weights, and inputs that they may take."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from conversion_inputs import LAYOUTS, PLACEHOLDERS, inputs
from conversion_libraries import Candidate, Example
from conversion_pieces import small_model
from conversion_sizes import CONSTRUCTED, MORE, OF_LAYERS, PLACES, SIZES, VARIANTS
from conversion_small import SMALL
from conversion_tracking import TRACKERS, build_tracker
from conversion_written import OF_SEQUENCES
from conversion_written_images import OF_IMAGES

WRITTEN = {**OF_SEQUENCES, **OF_IMAGES}
"""Architectures whose configurations and inputs are written out."""


def transformers_architectures() -> list[str]:
    """Return the names of transformers' architectures with a base model."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return list(MODEL_MAPPING_NAMES)


def shrink(config: Any, sizes: Mapping[str, int | None]) -> None:
    """Set the fields of a configuration, and of those within it, to small values."""
    from transformers import PretrainedConfig

    for name, value in [*vars(config).items()]:
        if isinstance(value, PretrainedConfig):
            shrink(value, sizes)
        elif sizes.get(name) and isinstance(value, int) and not isinstance(value, bool):
            setattr(config, name, sizes[name])
        elif name.endswith("token_id") and isinstance(value, int):
            setattr(config, name, 1)
        elif name.endswith("layer_types") and value:
            setattr(config, name, [*[value[0]] * ((sizes.get("num_hidden_layers") or 2) - 1), value[-1]])


def build(name: str, sizes: Mapping[str, int | None], layout: int | None) -> tuple[Any, Example]:
    """Return a small model with random weights, and inputs.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[name](**SMALL.get(name, {}))
    if name not in SMALL:
        shrink(config, sizes)
    model = small_model(config)
    return model, inputs(model.eval(), layout)


def construct(cls: Any, default: Any, sizes: Mapping[str, Any]) -> Any:
    """Return a configuration whose fields, and those of configurations within it, have small values from the start.

    Other than by `shrink`, fields that are derived from them follow.
    """
    from transformers import PretrainedConfig

    plain = cls()
    fields = {name: value for name, value in vars(default).items() if value != vars(plain).get(name)}
    for name, value in {"out_features": None, **vars(default)}.items():
        if isinstance(value, PretrainedConfig):
            fields[name] = construct(type(value), value, {**sizes, **sizes.get(name, {})})
        elif value is None and sizes.get("parts") and isinstance(part := cls.sub_configs.get(name), type):
            fields[name] = construct(part, part(), {**sizes, **sizes.get(name, {})})
        elif name in PLACES:
            fields[name] = PLACEHOLDERS[PLACES[name]]
        elif name.endswith(("token_id", "token_index", "_id")) and isinstance(value, int):
            fields[name] = 1
        elif name.endswith("layer_types") and value:
            fields[name] = kinds(value, sizes["num_hidden_layers"])
        elif sizes.get(name) is not None and (not isinstance(value, bool | str) or type(value) is type(sizes[name])):
            count = (
                sizes["num_hidden_layers"]
                if name in OF_LAYERS
                else len(value)
                if isinstance(value, list | tuple)
                else 0
            )
            several = isinstance(value, list | tuple) and not isinstance(sizes[name], list | tuple)
            fields[name] = [sizes[name]] * count if several else sizes[name]
        elif name == "rope_parameters" and "mrope_section" in getattr(cls, "ignore_keys_at_rope_validation", ()):
            fields[name] = sections(value or {}, sizes["head_dim"])
    known = inspect.signature(cls.__init__).parameters
    others = "_config", "out_features"
    made = cls(**{name: value for name, value in fields.items() if name in known or name.endswith(others)})
    for name, value in sizes.get("attributes", {}).items():
        setattr(made, name, value)
    return made


def kinds(layers: list[str], count: int) -> list[str]:
    """Return the kinds of some layers of many: several, and softmax attention among them."""
    found = [*dict.fromkeys(layers)]
    attention = [kind for kind in found if "attention" in kind and "linear" not in kind]
    chosen = [*dict.fromkeys([found[0], *attention, *found])][:count]
    return [*chosen, *[chosen[-1]] * (count - len(chosen))]


def sections(rope: Mapping[str, Any], head_dim: int) -> dict[str, Any]:
    """Return parameters of rotations whose sections fill a small head."""
    half = int(head_dim * rope.get("partial_rotary_factor", 1)) // 2
    return {**rope, "mrope_section": [half // 4 or 1, half // 4 or 1, half - 2 * (half // 4 or 1)]}


def build_constructed(name: str, sizes: Mapping[str, Any], layout: int) -> tuple[Any, Example]:
    """Return a small model of a constructed configuration, and all inputs that it names, in one of the layouts.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    cls, more = CONFIG_MAPPING[name], MORE.get(name, {})
    model = small_model(construct(cls, cls(), {**sizes, **more}), more.get("part"))
    return model, inputs(model.eval(), layout)


def build_written(name: str) -> tuple[Any, Example]:
    """Return a small model, and inputs, that are written out."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    fields, given = WRITTEN[name]
    return small_model(CONFIG_MAPPING[name](**fields)), given()


def transformers_candidates(name: str) -> Iterator[Candidate]:
    """Yield variants of a small model, with inputs."""
    if name in WRITTEN:
        yield partial(build_written, name)
        return
    if name in TRACKERS:
        yield partial(build_tracker, name)
        return
    constructed = [partial(build_constructed, name, sizes, layout) for sizes in CONSTRUCTED for layout in LAYOUTS]
    shrunk = [partial(build, name, {**SIZES, **variant}, layout) for variant in VARIANTS for layout in (None, 0)]
    yield from (
        (*constructed, *shrunk) if name in MORE or has_parts(name) else (*shrunk[:-2], *constructed, *shrunk[-2:])
    )


def has_parts(name: str) -> bool:
    """Whether a model has parts of other modalities, which it does not need for text."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return name not in SMALL and any(part.endswith("_config") for part in CONFIG_MAPPING[name].sub_configs)
