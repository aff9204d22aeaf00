"""Write the pages of docs/reference/ that are made from the code: `python docs/reference.py`. A test compares them."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, redirect_stderr
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import click
import torch
from typer.testing import CliRunner

import itnet_core
from itnet_core import ComponentSpec, Field, IntegralOperator, ITNetError, Kind, MLPKernel, TiledEvaluator
from itnet_core.plugin import errors as core
from itnet_core.plugin.specs import KINDS
from itnet_kernels import convert, factorize
from itnet_kernels import errors as conversion
from itnet_quasilinear import ChebyshevEvaluator
from itnet_quasilinear import errors as quasilinear
from itnet_registry import Registry, create_model, load_model
from itnet_registry import errors as registry
from itnet_registry.cli.app import BUILT_IN, _loaded, app
from itnet_registry.errors import Stage
from itnet_registry.plugins import clone
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
from itnet_train.storage.directory import RunDirectory

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
PACKAGES = (
    "itnet_tasks",
    *sorted({path.name for path in FOLDER.parents[1].glob("plugins/*/itnet_*")} - {"itnet_testing", "itnet_zoo"}),
)
"""The packages whose pages of the Python API are written here. core.md, registry.md and testing.md are by hand, and
itnet_zoo has models alone."""

MADE = "<!-- Made by `python docs/reference.py`; edit the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """Return the text of each page by its path in docs/reference/."""
    written = {
        "kinds.md": kinds(),
        "configuration.md": configuration(),
        "presets.md": presets(),
        "conformance.md": conformance(),
        "commands.md": commands(),
        "errors.md": outside_of_a_clone(errors()),
        **{f"plugins/{package}.md": python_api(package) for package in PACKAGES},
    }
    return {name: MADE + "\n".join(lines).rstrip() + "\n" for name, lines in written.items()}


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a Markdown table."""
    head = list(head)
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def first_line(thing: Any) -> str:
    """Return the first sentence of a docstring, on one line."""
    return " ".join((thing.__doc__ or "").strip().split("\n\n")[0].split())


def own_components(kind: Kind) -> list[Component]:
    """Return the components of a kind that this repository brings."""
    return [c for c in Registry().components(kind) if c.source.distribution in OURS]


def kinds() -> Iterator[str]:
    """Yield the page of components."""
    yield "# Components\n"
    yield "A component is a class that derives from the base class of its kind and implements the methods in the third"
    yield "column.\n"
    rows = []
    for kind in KINDS:
        base = getattr(itnet_core, BASES[kind])
        methods = sorted(getattr(base, "__abstractmethods__", ()))
        rows.append([f"`{kind}`", f"[`{base.__name__}`][itnet_core.{base.__name__}]", _code(methods), first_line(base)])
    yield from table(["kind", "base class", "methods to implement", "description"], rows)
    yield "The distributions of this repository declare these components. `itnet list` shows the installed ones.\n"
    for kind in KINDS:
        yield f"## {kind}\n"
        components = own_components(kind)
        if any(c.spec.modality for c in components):
            rows = [[_linked(c), c.spec.modality or "any", c.spec.summary] for c in components]
            yield from table(["id", "modality", "description"], rows)
        else:
            yield from table(["id", "description"], [[_linked(c), c.spec.summary] for c in components])


def presets() -> Iterator[str]:
    """Yield the page of the core's presets, with the points, parameters and FLOPs of their trunks."""
    yield "# Presets\n"
    yield "The table lists the trunk of each preset of the core for one sample, without encoder and head."
    yield "`itnet info PRESET --points GRID` prints these counts for any grid. An image of 224 × 224 pixels has 14 × 14"
    yield "points in patches of 16 pixels, and 56 × 56 points behind a stem of stride 4. A multiply-add counts as two"
    yield "FLOPs. A stage consists of the blocks at the same points. Plugins add presets with an encoder, such as"
    yield "`image-nano`; their READMEs list them.\n"
    rows = []
    for preset in Registry().presets():
        if preset.source.distribution != "itnet-core":
            continue
        grid = 56 if "pyramid" in preset.name and not preset.name.endswith("nano") else 14
        report = _printed("info", preset.id, "--points", f"{grid}x{grid}", "--json")
        stages: dict[tuple[str, int], int] = {}
        for row in report["trunk"]:
            stage = "×".join(map(str, row["points_out"])), row["width"]
            stages[stage] = stages.get(stage, 0) + row["repeat"]
        shown = "; ".join(f"{count} of width {width} at {points}" for (points, width), count in stages.items())
        millions, billions = report["parameters"] / 1e6, report["flops"] / 1e9
        rows.append([f"`{preset.name}`", shown, f"{millions:.2f}M", f"{billions:.2f}G"])
    yield from table(["preset", "blocks of each stage", "parameters", "FLOPs"], rows)


def _linked(component: Component) -> str:
    return f"[`{component.id}`][{component.spec.target.replace(':', '.')}]"


def configuration() -> Iterator[str]:
    """Yield the page of configuration fields: of the sections of a file, and of each component."""
    yield "# Configuration\n"
    yield "A configuration file has the sections `model` and `train`. A `task` at the top level is short for"
    yield "`model.task`. Write a component as its name, `encoder: patch`, or as a name with options,"
    yield "`encoder: {name: patch, patch_size: 4}`. `itnet validate` checks a file; `itnet schema` writes its JSON"
    yield "Schema.\n"
    schema = _printed("schema")
    tables = {f"## Section {section}": schema["properties"][section] for section in ("model", "train")}
    _, block = schema["$defs"]["model.BlockConfig"]["anyOf"]
    tables |= {"## Entries of trunk": block, "### Query points of an entry": schema["$defs"]["model.QueryConfig"]}
    for title, part in tables.items():
        yield f"{title}\n"
        fields = part["properties"]
        rows = [
            [f"`{name}`", _value(field.get("default")), field.get("description", "")] for name, field in fields.items()
        ]
        yield from table(["field", "default", "description"], rows)
    for kind in KINDS:
        yield f"## {kind.capitalize()}s\n"
        for component in own_components(kind):
            yield f"### {component.id}\n"
            path = component.spec.target.replace(":", ".")
            link = f"[`{path.rpartition('.')[2]}`][{path}]"
            yield f"{component.spec.summary[0].upper()}{component.spec.summary[1:]}. Class: {link}.\n"
            fields = _printed("info", component.id, "--kind", kind, "--json")["fields"]
            if not fields:
                yield "No options.\n"
                continue
            rows = [
                [
                    f"`{field['name']}`",
                    f"`{field['type']}`",
                    "required" if field["required"] else _value(field["default"]),
                    field["description"],
                ]
                for field in fields
            ]
            yield from table(["option", "type", "default", "description"], rows)


def _printed(*arguments: str) -> Any:
    """Return the JSON document that an `itnet` command writes."""
    done = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    return json.loads(done.stdout)


def _value(default: object) -> str:
    return "" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"


def python_api(package: str) -> Iterator[str]:
    """Yield the page of a package: its exports, and the classes of its components."""
    module = import_module(package)
    exported = getattr(module, "__all__", ())
    yield f"# {package}\n"
    folder = Path(str(module.__file__)).parents[1].relative_to(FOLDER.parents[1])
    yield f"{first_line(module)} [README](../../../{folder}/README.md).\n"
    names = [name for name in exported if not name.endswith("Error")]  # errors.md has these
    for name in sorted(names, key=lambda name: (not name[0].isupper(), name)):
        yield f"::: {package}.{name}\n"
    for kind in KINDS:
        targets = {component.spec.target for component in own_components(kind)}
        for target in sorted(target for target in targets if target.startswith(f"{package}.")):
            if target.partition(":")[2] not in exported:
                yield f"::: {target.replace(':', '.')}\n"


def conformance() -> Iterator[str]:
    """Yield the page of the conformance kit's checks."""
    yield "# Conformance checks\n"
    yield "Derive a test class from the conformance class of your component's kind and name the component"
    yield "([example](testing.md)). A check that does not apply to a component is skipped with the reason.\n"
    shared = _checks(Conformance)
    for title, cls, known in [("Every component", Conformance, {}), *((k.__name__, k, shared) for k in KITS)]:
        yield f"## {title}\n"
        rows = [[f"`{name}`", text] for name, text in _checks(cls).items() if name not in known]
        yield from table(["check", "property"], rows)


def _checks(cls: type) -> dict[str, str]:
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base) if name.startswith("check_"))
    return {name.removeprefix("check_"): first_line(getattr(cls, name)) for name in names}


def commands() -> Iterator[str]:
    """Yield the page of commands."""
    yield "# Commands\n"
    yield "`--json` writes one JSON document to stdout and nothing else. The exit code is 0 for success, 2 for wrong"
    yield "usage or an invalid configuration, and 1 for any other failure.\n"
    theirs = {c.name: c.source.distribution for c in Registry().commands() if c.source.distribution in OURS}
    for name in [*BUILT_IN, *sorted(theirs)]:
        command = _loaded(name)
        yield f"## itnet {name}\n"
        yield re.sub(r"\s*\n\s*", " ", (command.help or "").strip().split("\f")[0]) + "\n"
        if name in theirs:
            yield f"Installed with `{theirs[name]}`.\n"
        yield from table(["argument", "description", "default"], map(_parameter, command.params))


def _parameter(parameter: click.Parameter) -> list[str]:
    argument = parameter.metavar or str(parameter.name).upper()
    names = [argument] if parameter.param_type_name == "argument" else [*parameter.opts]
    default = "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"
    return [_code(names), getattr(parameter, "help", "") or "", "required" if parameter.required else default]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def outside_of_a_clone(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines whose hints install from an index, rather than from folders of this machine."""
    with patch.object(clone, "clone_root", lambda: None):
        yield from lines


def errors() -> Iterator[str]:
    """Yield the catalogue of errors."""
    yield "# Errors\n"
    yield "Every error that ITNet raises on purpose is an `ITNetError`. Its message states the place, what was found,"
    yield "what was expected and, if there is one, a hint. The attributes `place`, `found`, `expected` and `hint` hold"
    yield "these parts. Each example below is a message that the code raises.\n"
    for cls, cause in EXAMPLES.items():
        bases = [
            base.__name__ for base in cls.__mro__ if base not in (cls, ITNetError, Exception, BaseException, object)
        ]
        yield f"## {cls.__name__}\n"
        yield (first_line(cls) + (f" Derives from {_code(bases)} as well." if bases else "") + "\n")
        yield f"```console\n{raised(cls, cause)}\n```\n"
    yield "## Stages of quarantine\n"
    yield "A plugin that fails is quarantined: `itnet list` shows its stage and its error, and everything else works."
    yield "`ITNET_STRICT=1` raises the first failure instead.\n"
    yield "Stages in their order: " + ", ".join(f"`{stage}`" for stage in get_args(Stage)) + "."
    yield "The [README of itnet-registry](../../registry/README.md#quarantine) lists the reasons for each.\n"


def raised(cls: type[ITNetError], cause: Callable[[], object]) -> str:
    """Return the message of the error that `cause` raises in an empty folder.

    Raises:
        TypeError: `cause` raises no such error.
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
"""For each exception class, a function that raises it."""

if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
