"""Components, presets and commands of `itnet-text`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import CommandSpec, ComponentSpec, PresetSpec, hookimpl

text = partial(ComponentSpec, modality="text")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    encoders, glue, table = "itnet_text.encoders", "itnet_text.tasks.glue", "itnet_text.tasks.table"
    generated, transformers = "itnet_text.tasks.generated", ("transformers",)
    return [
        text("encoder", "token", f"{encoders}.token:TokenEncoder", "tokens of any tokenizer, or bytes"),
        text(
            "encoder",
            "pretrained",
            f"{encoders}.pretrained:PretrainedEncoder",
            "a transformers model's embeddings",
            requires=transformers,
            citations=("wolf2019transformers",),
        ),
        text(
            "task",
            "glue/cola",
            f"{glue}:CoLA",
            "acceptability of a sentence as English",
            citations=("wang2018glue", "warstadt2018cola"),
        ),
        text(
            "task",
            "glue/sst-2",
            f"{glue}:SST2",
            "sentiment of a sentence of a film review",
            citations=("wang2018glue", "socher2013sst"),
        ),
        text(
            "task",
            "glue/mrpc",
            f"{glue}:MRPC",
            "pairs of sentences of news, paraphrases or not",
            citations=("wang2018glue", "dolan2005mrpc"),
        ),
        text("task", "glue/qqp", f"{glue}:QQP", "pairs of questions, duplicates or not", citations=("wang2018glue",)),
        text(
            "task",
            "glue/sts-b",
            f"{glue}:STSB",
            "similarity of two sentences, from 0 to 5",
            citations=("wang2018glue", "cer2017sts"),
        ),
        text(
            "task",
            "glue/mnli",
            f"{glue}:MNLI",
            "entailment of a hypothesis by a premise, matched genres",
            citations=("wang2018glue", "williams2017mnli"),
        ),
        text(
            "task",
            "glue/mnli-mismatched",
            f"{glue}:MNLIMismatched",
            "entailment of a hypothesis by a premise, other genres",
            citations=("wang2018glue", "williams2017mnli"),
        ),
        text(
            "task",
            "glue/qnli",
            f"{glue}:QNLI",
            "questions with sentences that may answer them",
            citations=("wang2018glue", "rajpurkar2016squad"),
        ),
        text("task", "glue/rte", f"{glue}:RTE", "entailment of a sentence by a text", citations=("wang2018glue",)),
        text(
            "task",
            "glue/wnli",
            f"{glue}:WNLI",
            "referent of a pronoun",
            citations=("wang2018glue", "levesque2012winograd"),
        ),
        text("task", "text-table", f"{table}:TextTable", "classes of texts in CSV, TSV or JSON lines"),
        text(
            "task",
            "text-table-regression",
            f"{table}:TextTableRegression",
            "numbers for texts in CSV, TSV or JSON lines",
        ),
        text("task", "word-order", "itnet_text.tasks.word_order:WordOrder", "sentences with two words swapped or not"),
        text("task", "language-model", "itnet_text.tasks.language_model:LanguageModel", "the next token of texts"),
        text(
            "task",
            "listops",
            f"{generated}.listops:ListOps",
            "values of nested expressions",
            citations=("nangia2018listops", "tay2020lra"),
        ),
        text(
            "task",
            "associative-recall",
            f"{generated}.associative_recall:AssociativeRecall",
            "values of queried keys (MQAR)",
            citations=("arora2023zoology",),
        ),
        text("task", "dyck", f"{generated}.dyck:Dyck", "the bracket that must be closed next"),
        text("task", "agreement", f"{generated}.agreement:Agreement", "the number of a verb, with attractors"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    bytes_ = {"name": "itnet-text/token", "window": 5, "tokens_per_unit": 32}
    tokens = {"name": "itnet-text/token"}
    return [
        PresetSpec(
            "text-nano", "short texts as bytes, on a CPU", {"preset": "itnet-core/itnet-nano", "encoder": bytes_}
        ),
        PresetSpec(
            "text-s",
            "the paper's S, on tokens; give the encoder a tokenizer",
            {"preset": "itnet-core/itnet-s", "encoder": tokens},
        ),
    ]


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    """Declare the commands."""
    return [
        CommandSpec("train-tokenizer", "itnet_text.cli:train", "Train a tokenizer on texts."),
        CommandSpec("glue-average", "itnet_text.cli:average", "Compute GLUE's average over runs."),
    ]
