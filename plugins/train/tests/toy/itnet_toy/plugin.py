from __future__ import annotations

from itnet_core import CommandSpec, ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    return [
        ComponentSpec(
            kind="encoder",
            name="signal",
            target="itnet_toy.tones:SignalEncoder",
            summary="samples of a signal, a point each",
            modality="signal",
        ),
        ComponentSpec(
            kind="task",
            name="tones",
            target="itnet_toy.tones:Tones",
            summary="which of three tones a signal is",
            modality="signal",
        ),
        ComponentSpec(
            kind="encoder", name="echo", target="itnet_toy.tones:EchoEncoder", summary="the same", modality="echo"
        ),
        ComponentSpec(kind="task", name="echoes", target="itnet_toy.tones:Echoes", summary="the same", modality="echo"),
    ]


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    target = "itnet_toy.probe:ProbeConfig"
    return [CommandSpec("probe", "itnet_toy.probe:probe", "Probe.", sections={"probe": target})]
