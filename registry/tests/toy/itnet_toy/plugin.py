"""A small real plugin: two modalities, each with an encoder and a task."""

from __future__ import annotations

from itnet_core import Check, CommandSpec, ComponentSpec, PresetSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    return [
        ComponentSpec(
            kind="encoder", name="pixels", target="itnet_toy.parts:Pixels", summary="a pixel, a point", modality="image"
        ),
        ComponentSpec(
            kind="encoder", name="letters", target="itnet_toy.parts:Letters", summary="an embedding", modality="text"
        ),
        ComponentSpec(
            kind="task", name="stripes", target="itnet_toy.parts:Stripes", summary="which way", modality="image"
        ),
        ComponentSpec(kind="task", name="vowels", target="itnet_toy.parts:Vowels", summary="how many", modality="text"),
        ComponentSpec(kind="kernel", name="constant", target="itnet_toy.parts:Constant", summary="the mean"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    return [
        PresetSpec(
            name="toy", summary="one small block", config={"width": 8, "depth": 1, "kernel": "itnet-toy/constant"}
        )
    ]


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    return [
        CommandSpec(
            name="greet",
            target="itnet_toy.command:greet",
            summary="say hello",
            sections={"greet": "itnet_toy.command:Greeting"},
        )
    ]


@hookimpl
def itnet_doctor(api: int) -> list[Check]:
    return [Check(name="paint", ok=True, detail="two colours")]
