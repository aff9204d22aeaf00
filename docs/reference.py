"""Writes the pages of docs/reference/ that are made from the code: `python docs/reference.py`. A test compares them."""

from __future__ import annotations

import os
import re
import tempfile
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import click
import torch
import typer

import itnet_core
from itnet_core import ComponentSpec, Field, IntegralOperator, ITNetError, MLPKernel, TiledEvaluator
from itnet_core.plugin import errors as core
from itnet_core.plugin.specs import KINDS, Kind
from itnet_kernels import convert, factorize
from itnet_kernels import errors as conversion
from itnet_quasilinear import ChebyshevEvaluator
from itnet_quasilinear import errors as quasilinear
from itnet_registry import Registry, create_model, load_model
from itnet_registry import errors as registry
from itnet_registry.cli.app import _loaded, app
from itnet_registry.errors import Fault, Stage
from itnet_registry.plugins.compatibility import check_core
from itnet_registry.plugins.components import BASES, Component
from itnet_registry.plugins.discovery import Source
from itnet_registry.plugins.names import choose
from itnet_testing import (
    Conformance,
    EncoderConformance,
    EvaluatorConformance,
    HeadConformance,
    KernelConformance,
    SamplerConformance,
    TaskConformance,
)
from itnet_train import errors as training
from itnet_train import train
from itnet_train.directory import RunDirectory

FOLDER = Path(__file__).parent / "reference"
OURS = {
    tomllib.loads(path.read_text())["project"]["name"]
    for pattern in ("pyproject.toml", "*/pyproject.toml", "plugins/*/pyproject.toml")
    for path in FOLDER.parents[1].glob(pattern)
}
KITS = (
    EncoderConformance,
    KernelConformance,
    SamplerConformance,
    EvaluatorConformance,
    HeadConformance,
    TaskConformance,
)
MADE = "<!-- Made by `python docs/reference.py`; edit the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    return {
        name: MADE + "\n".join(lines()) + "\n"
        for name, lines in {
            "kinds.md": kinds,
            "conformance.md": conformance,
            "commands.md": commands,
            "errors.md": errors,
        }.items()
    }


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a Markdown table."""
    head = list(head)
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def first_line(thing: Any) -> str:
    """Return the first sentence of a docstring, on one line."""
    return " ".join((thing.__doc__ or "").strip().split("\n\n")[0].split())


def kinds() -> Iterator[str]:
    """Yield the page of component kinds."""
    yield "# Kinds of components\n"
    yield "What a `ComponentSpec` of each kind must name: a class over this base, with these methods of its own.\n"
    rows = []
    for kind in KINDS:
        base = getattr(itnet_core, BASES[kind])
        own = sorted(getattr(base, "__abstractmethods__", ()))
        rows.append(
            [f"`{kind}`", f"[`{base.__name__}`][{base.__module__}.{base.__name__}]", _code(own), first_line(base)]
        )
    yield from table(["kind", "base class", "to write", "what it is"], rows)
    yield "## What the project brings\n"
    components = Registry().components()
    for kind in KINDS:
        found = [c for c in components if c.kind == kind and c.source.distribution in OURS]
        yield f"### {kind}\n"
        yield from table(
            ["id", "modality", "what it is"], [[f"`{c.id}`", c.spec.modality or "", c.spec.summary] for c in found]
        )


def conformance() -> Iterator[str]:
    """Yield the page of the conformance kit's checks."""
    yield "# What the conformance kit checks\n"
    yield "Derive from the class of your component's kind, name the component, and pytest does the rest"
    yield "([the kit](testing.md)). A check that is due only where something is declared says so in the code.\n"
    shared = _checks(Conformance)
    for title, cls, known in [("every component", Conformance, {}), *((k.__name__, k, shared) for k in KITS)]:
        yield f"## {title}\n"
        rows = [[f"`{name}`", text] for name, text in _checks(cls).items() if name not in known]
        yield from table(["check", "holds if"], rows)


def _checks(cls: type) -> dict[str, str]:
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base) if name.startswith("check_"))
    return {name.removeprefix("check_"): first_line(getattr(cls, name)) for name in names}


def commands() -> Iterator[str]:
    """Yield the page of commands."""
    yield "# Commands\n"
    yield "`--json` gives one JSON document on stdout, whatever plugins print; tables are for people. Exit codes: 0,"
    yield "or 2 for a mistake in what was asked (usage, configuration), or 1 for anything else that failed.\n"
    group: Any = typer.main.get_command(app)
    theirs = {c.name: c.source.distribution for c in Registry().commands() if c.source.distribution in OURS}
    for name in [*group.commands, *sorted(theirs)]:
        command = group.commands.get(name) or _loaded(name)
        yield f"## itnet {name}\n"
        yield re.sub(r"\s*\n\s*", " ", (command.help or "").strip().split("\f")[0]) + "\n"
        if name in theirs:
            yield f"Brought by `{theirs[name]}`.\n"
        yield from table(["argument", "meaning", "default"], map(_parameter, command.params))


def _parameter(parameter: click.Parameter) -> list[str]:
    names = [str(parameter.name).upper()] if parameter.param_type_name == "argument" else [*parameter.opts]
    default = "" if parameter.default in (None, False, ()) else f"`{parameter.default}`"
    return [_code(names), getattr(parameter, "help", "") or "", "required" if parameter.required else default]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def errors() -> Iterator[str]:
    """Yield the catalogue of errors."""
    yield "# Errors\n"
    yield "Every error that ITNet raises on purpose is an `ITNetError`. Its message says the place, what was found,"
    yield "what was expected and, where there is one, the hint: its attributes `place`, `found`, `expected`, `hint`."
    yield "Each example is what the code says to a mistake of that sort.\n"
    for cls, cause in EXAMPLES.items():
        bases = [
            base.__name__ for base in cls.__mro__ if base not in (cls, ITNetError, Exception, BaseException, object)
        ]
        yield f"## {cls.__name__}\n"
        yield (
            first_line(cls)
            + (f" It is a{'n' * bases[0].startswith(tuple('AEIO'))} {_code(bases)} too." if bases else "")
            + "\n"
        )
        yield "```text\n" + "\n".join(textwrap.wrap(raised(cls, cause), 110)) + "\n```\n"
    yield "## Stages at which a plugin is set aside\n"
    yield "`itnet list` shows the stage of each plugin that failed; everything else goes on. `ITNET_STRICT=1` raises.\n"
    said = " ".join((Fault.__doc__ or "").split())
    yield re.sub(r".* stage: (where it failed: .*?\)\.).*", r"\1", said).capitalize() + "\n"
    yield "Stages in their order: " + ", ".join(f"`{stage}`" for stage in get_args(Stage)) + ".\n"


def raised(cls: type[ITNetError], cause: Callable[[], object]) -> str:
    """Return the message with which `cause` fails, in an empty folder.

    Raises:
        TypeError: it does not fail so.
    """
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        try:
            cause()
        except cls as error:
            return str(error).replace(os.path.realpath(folder), "…")
    raise TypeError(f"the example of {cls.__name__} raises none")


def _component(version: str = "1.0", distribution: str = "acme", **declared: Any) -> Component:
    kind: Kind = "kernel"
    spec = ComponentSpec(kind=kind, name="wave", summary="", **{"target": "acme.kernel:Wave", **declared})
    return Component(spec, Source(distribution, "acme", "acme.plugin", version))


def _second_derivative() -> None:
    kernel = MLPKernel(8)
    field = Field(torch.randn(1, 5, 8).requires_grad_(), torch.rand(1, 5, 4))
    found = IntegralOperator(8, kernel, evaluator=TiledEvaluator())(field).values.sum()
    [gradient] = torch.autograd.grad(found, field.values, create_graph=True)
    torch.autograd.backward(gradient.sum())


def _range_too_wide() -> None:
    additive: Any = ("query", "key", "displacement")
    torch.manual_seed(0)
    kernel = MLPKernel(8, inputs=additive, activation="silu")
    field = Field(1e3 * torch.randn(1, 5, 8), torch.rand(1, 5, 4))
    IntegralOperator(8, kernel, evaluator=ChebyshevEvaluator(tolerance=1e-6, max_nodes=8))(field)


def _table_without_label() -> None:
    Path("texts.csv").write_text("text\na fine film\n")
    Registry().create("task", "text-table", train="texts.csv").dataset("train")


def _taken_directory() -> None:
    Path("runs/digits/resume").mkdir(parents=True)
    Path("runs/digits/config.yaml").touch()
    RunDirectory(Path("runs/digits")).check({}, resume=False, overwrite=False)


def _diverging_run() -> None:
    model = {"width": 8, "depth": 1, "encoder": {"name": "patch", "patch_size": 4}, "kernel": {"heads": 2}}
    settings = {"epochs": 1, "learning_rate": 1e30, "warmup": 0, "accelerator": "cpu"}
    with redirect_stderr(StringIO()):
        train({"model": {**model, "task": "digits"}, "train": settings}, Path("runs/digits"))


EXAMPLES: dict[type[ITNetError], Callable[[], object]] = {
    core.ConfigError: lambda: create_model("itnet-nano", encoder="patch", head={"name": "classify", "clases": 10}),
    core.FieldError: lambda: Field(torch.randn(2, 3, 8), torch.rand(2, 4, 2)),
    core.ShapeError: lambda: IntegralOperator(10, MLPKernel(10, heads=4)),
    core.DerivativeError: _second_derivative,
    core.DataError: _table_without_label,
    registry.PluginError: lambda: check_core(Source("acme", "acme", "acme.plugin", "1.0", requires=("itnet-core>=9",))),
    registry.UnknownNameError: lambda: create_model("itnet-nano", encoder="pach"),
    registry.AmbiguousNameError: lambda: choose(
        "kernel", "wave", [_component(), _component(distribution="other", target="other:Wave")], ()
    ),
    registry.ComponentError: lambda: _component(target="acme_of_nobody.kernel:Wave").load(),
    registry.RequirementError: lambda: _component(requires=("fast-waves>=2",)).load(),
    registry.CheckpointError: lambda: load_model("runs/nothing"),
    conversion.ConversionError: lambda: convert(torch.nn.Linear(3, 4)),
    conversion.FactorizationError: lambda: factorize(
        MLPKernel(8, support={"causal": "t"}), Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4))
    ),
    quasilinear.ToleranceError: _range_too_wide,
    training.RunError: _taken_directory,
    training.NonFiniteError: _diverging_run,
}
"""For each exception class something that raises it."""

if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
