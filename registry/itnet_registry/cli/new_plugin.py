"""`itnet new-plugin`: a distribution with working components, as a starting point."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from itnet_core.plugin.specs import Kind
from itnet_registry.plugins.clone import clone_root, installable
from itnet_registry.plugins.requirements import unmet

Licence = Literal["Apache-2.0", "MIT"]

TEMPLATES: dict[Kind, tuple[str, str, str]] = {
    "encoder": ("Encoder", "Signals as points in time", 'create("encoder", "{id}", dim=64)'),
    "kernel": ("Kernel", "A Gaussian kernel with learned lengths", 'create("kernel", "{id}", dim=64)'),
    "sampler": ("Sampler", "Points drawn with equal probability", 'create("sampler", "{id}", dim=64)'),
    "evaluator": ("Evaluator", "Sums of some rows at a time", 'create("evaluator", "{id}")'),
    "head": ("Head", "Outputs from a hidden layer", 'create("head", "{id}", dim=64, outputs=2)'),
    "task": ("Task", "Classification of slow and fast waves", 'create("task", "{id}")'),
}
"""For each kind: the base class, the title of the component written, and the code that creates it."""


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the distribution, such as itnet-spectrum.")],
    kind: Annotated[
        str, typer.Option(help="Kind: encoder, kernel, sampler, evaluator, head or task; or several, as encoder+task.")
    ],
    path: Annotated[Path, typer.Option(help="The folder to write NAME into.")] = Path(),
    licence: Annotated[Licence, typer.Option(help="Licence of the plugin: Apache-2.0 or MIT.")] = "Apache-2.0",
) -> None:
    """Write a plugin: a distribution with a component of each kind, which installs and passes the conformance kit."""
    from packaging.utils import canonicalize_name

    from itnet_registry.cli.output import print_line

    distribution = str(canonicalize_name(name))
    check_name(name, distribution)
    folder = path / distribution
    write(folder, distribution, read_kinds(kind), licence)
    kit = installable(unmet(["itnet-testing"])) if clone_root() else []
    install = shlex.join(["pip", "install", *kit, "-e", f"{folder}[test]"])
    print_line(f"wrote {folder}; now: {install} && {shlex.join(['pytest', str(folder)])}")


def read_kinds(text: str) -> list[Kind]:
    """Return the kinds in a text such as `encoder+task`, or `encoder,task`.

    Raises:
        ConfigError: one is unknown, or appears twice.
    """
    from itnet_core import ConfigError

    names = [name.strip() for name in text.replace(",", "+").split("+")]
    kinds = [kind for name in names for kind in TEMPLATES if kind == name]
    if len(kinds) < len(names) or len(set(kinds)) < len(kinds):
        expected = f"some of {', '.join(TEMPLATES)}, once each, such as encoder+task"
        raise ConfigError("new-plugin --kind", found=repr(text), expected=expected)
    return kinds


def check_name(name: str, distribution: str) -> None:
    """Check that a name is valid for a distribution and its package, and not taken.

    Raises:
        ConfigError: the name does not follow PEP 508, is not valid for a package, or is taken by an installed one.
    """
    import keyword
    import re
    from importlib.metadata import packages_distributions
    from importlib.util import find_spec

    from itnet_core import ConfigError
    from itnet_registry.plugins.requirements import unmet

    expected = "letters, digits and single hyphens, beginning with a letter, such as itnet-spectrum"
    if not re.fullmatch(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", name):
        raise ConfigError("new-plugin NAME", found=repr(name), expected=expected)
    package = distribution.replace("-", "_")
    if not package.isidentifier() or keyword.iskeyword(package):
        found = f"{name!r}, whose package would be {package!r}"
        raise ConfigError("new-plugin NAME", found=found, expected=expected)
    if not unmet([distribution]) or package in packages_distributions() or find_spec(package) is not None:
        raise ConfigError(
            "new-plugin NAME",
            found=f"{name!r}: this distribution, or a package {package!r}, is already installed",
            expected="an unused name",
        )


def write(folder: Path, distribution: str, kinds: Sequence[Kind], licence: Licence) -> None:
    """Write a plugin into a new folder, completely or not at all.

    Raises:
        ConfigError: the folder exists.
    """
    import shutil
    import uuid

    from itnet_core import ConfigError
    from itnet_core.plugin.files import partial_path

    part = partial_path(folder, uuid.uuid4().hex[:8])
    try:
        if folder.exists() or folder.is_symlink():
            raise ConfigError(
                "new-plugin --path",
                found=f"{folder}, which exists",
                expected="a new folder",
                hint="Move or remove it, or choose another --path.",
            )
        for name, text in files(distribution, kinds, licence).items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_text(text, encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def files(distribution: str, kinds: Sequence[Kind], licence: Licence) -> dict[str, str]:
    """Return the texts of a new plugin's files by their paths in its folder."""
    import datetime

    import itnet_core

    package = distribution.replace("-", "_")
    parts = {kind: part_values(distribution, kind, kinds) for kind in kinds}
    titles = [part["title"] for part in parts.values()]
    major, minor, *_ = itnet_core.__version__.split(".")
    values = {
        "distribution": distribution,
        "package": package,
        "name": distribution.removeprefix("itnet-"),
        "kinds": " and the ".join([", the ".join(kinds[:-1]), kinds[-1]] if len(kinds) > 1 else kinds),
        "title": "; ".join([titles[0], *(title[0].lower() + title[1:] for title in titles[1:])]),
        "use": "\n".join(part["use"] for part in parts.values()),
        "declarations": "\n".join(fill("declaration", part) for part in parts.values()),
        "core": f">={major}.{minor},<{major}.{int(minor) + 1}",
        "licence": licence,
        "year": str(datetime.date.today().year),
    }
    written = {
        "pyproject.toml": fill("pyproject.toml", values),
        "README.md": fill("README.md", values),
        "LICENSE": fill(licence, values),
        f"{package}/__init__.py": f'"""{values["title"]}, a plugin for ITNet."""\n',
        f"{package}/py.typed": "",
        f"{package}/plugin.py": fill("plugin.py", values),
    }
    for kind, part in parts.items():
        written[f"{package}/{kind}.py"] = fill(f"{kind}.py", part)
        written[f"tests/test_{kind}.py"] = fill("test.py", part)
    return written


def part_values(distribution: str, kind: Kind, kinds: Sequence[Kind]) -> dict[str, str]:
    """Return what the templates of a component of one kind say, in a plugin of these kinds."""
    base, title, use = TEMPLATES[kind]
    name = distribution.removeprefix("itnet-")
    class_words = name if name[0].isalpha() else distribution  # a class does not begin with a digit
    full = f"{distribution}/{name}"
    return {
        "package": distribution.replace("-", "_"),
        "name": name,
        "id": full,
        "cls": "".join(part.capitalize() for part in class_words.split("-")) + base,
        "base": base,
        "kind": kind,
        "title": title,
        "summary": title[0].lower() + title[1:],
        "use": f"print({use.format(id=full)})",
        "modality": '\n            modality="signal",' if kind in ("encoder", "task") else "",
        "encoder": f'\n    encoder = "{full}"' if kind == "task" and "encoder" in kinds else "",
    }


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the text of a template with these values."""
    from string import Template

    text = (Path(__file__).parent / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return text if template == "Apache-2.0" else Template(text).substitute(values)
