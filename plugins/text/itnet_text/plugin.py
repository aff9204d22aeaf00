"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core import CommandSpec, ComponentSpec, PresetSpec, hookimpl
from itnet_core.plugin.specs import Kind

GLUE = {
    "cola": ("CoLA", "whether a sentence is acceptable English"),
    "sst-2": ("SST2", "whether a film review's sentence is positive"),
    "mrpc": ("MRPC", "whether two sentences of news say the same"),
    "qqp": ("QQP", "whether two questions ask the same"),
    "sts-b": ("STSB", "how alike two sentences are, from 0 to 5"),
    "mnli": ("MNLI", "what follows from a premise, genres of training"),
    "mnli-mismatched": ("MNLIMismatched", "what follows from a premise, other genres"),
    "qnli": ("QNLI", "whether a sentence holds the answer to a question"),
    "rte": ("RTE", "whether a sentence follows from a text"),
    "wnli": ("WNLI", "what a pronoun stands for"),
}


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    return [
        _spec("encoder", "token", "token:TokenEncoder", "tokens of any tokenizer, or bytes, each one point in time"),
        _spec(
            "encoder", "pretrained", "pretrained:PretrainedEncoder", "a transformers model's embeddings", "transformers"
        ),
        *(_spec("task", f"glue/{name}", f"glue:{cls}", summary) for name, (cls, summary) in GLUE.items()),
        _spec("task", "text-table", "table:TextTable", "classes of texts in CSV, TSV or JSON lines"),
        _spec("task", "text-table-regression", "table:TextTableRegression", "numbers of texts in such tables"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack a task alone."""
    return [
        PresetSpec(
            name="text-nano",
            summary="short texts as bytes, on a CPU",
            config={
                "preset": "itnet-core/itnet-nano",
                "encoder": {"name": "itnet-text/token", "window": 5, "tokens_per_unit": 32},
            },
        ),
        PresetSpec(
            name="text-s",
            summary="texts as tokens, the paper's S; give the encoder a tokenizer",
            config={"preset": "itnet-core/itnet-s", "encoder": {"name": "itnet-text/token"}},
        ),
    ]


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    """Declare the commands."""
    return [
        CommandSpec(name="train-tokenizer", target="itnet_text.cli:train", summary="Learn a tokenizer from texts."),
        CommandSpec(name="glue-average", target="itnet_text.cli:average", summary="Compute GLUE's average over runs."),
    ]


def _spec(kind: Kind, name: str, target: str, summary: str, *requires: str) -> ComponentSpec:
    return ComponentSpec(
        kind=kind,
        name=name,
        target=f"itnet_text.{target}",
        summary=summary,
        requires=requires,
        modality="text",
    )
