"""`itnet new-plugin`: a distribution with one component that works, to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

NewKind = Literal["encoder", "kernel", "sampler", "head", "task"]
Licence = Literal["Apache-2.0", "MIT"]

WHAT: dict[NewKind, tuple[str, str, str]] = {
    "encoder": ("Encoder", "Signals as points in time", 'create("encoder", "{id}", dim=64)'),
    "kernel": ("Kernel", "A Gaussian kernel with learned lengths", 'create("kernel", "{id}", dim=64)'),
    "sampler": ("Sampler", "Points drawn with equal probability", 'create("sampler", "{id}", dim=64)'),
    "head": ("Head", "Numbers of a sample by a hidden layer", 'create("head", "{id}", dim=64, outputs=2)'),
    "task": ("Task", "Whether a wave is slow or fast", 'create("task", "{id}")'),
}
"""Of each kind: its base, what the component is that is written, and how it is made."""


def new_plugin(
    name: Annotated[str, typer.Argument(help="The distribution's name, such as itnet-spectrum.")],
    kind: Annotated[NewKind, typer.Option(help="What it brings: encoder, kernel, sampler, head or task.")],
    path: Annotated[Path, typer.Option(help="The folder in which NAME is written.")] = Path(),
    licence: Annotated[Licence, typer.Option(help="Its licence: Apache-2.0 or MIT.")] = "Apache-2.0",
) -> None:
    """Write a plugin: a distribution with one component, which installs and passes the conformance kit as it stands."""
    from packaging.utils import canonicalize_name

    from itnet_registry.cli.output import print_line

    distribution = str(canonicalize_name(name))
    check_name(name, distribution)
    folder = path / distribution
    write(folder, distribution, kind, licence)
    print_line(f"wrote {folder}; now: pip install -e '{folder}[test]' && pytest {folder}")


def check_name(name: str, distribution: str) -> None:
    """Refuse a name that a distribution or its package cannot have.

    Raises:
        ConfigError: it is no name by PEP 508, no package can be called so, or one that is installed is.
    """
    import keyword
    import re
    from importlib.metadata import packages_distributions
    from importlib.util import find_spec

    from itnet_core import ConfigError
    from itnet_registry.requirements import unmet

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
            found=f"{name!r}, which is installed already, or a package {package!r} is",
            expected="a name that nothing else has",
        )


def write(folder: Path, distribution: str, kind: NewKind, licence: Licence) -> None:
    """Write a plugin into a new folder, whole or not at all.

    Raises:
        ConfigError: something stands there already.
    """
    import shutil
    import uuid

    from itnet_core import ConfigError

    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        if folder.exists() or folder.is_symlink():
            raise ConfigError(
                "new-plugin --path",
                found=f"{folder}, which exists",
                expected="a folder that is to be made",
                hint="Move it.",
            )
        for name, text in files(distribution, kind, licence).items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_text(text, encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def files(distribution: str, kind: NewKind, licence: Licence) -> dict[str, str]:
    """Return the files of a new plugin, by their paths in its folder."""
    import datetime
    from importlib.resources import files as resources
    from string import Template

    import itnet_core

    base, title, use = WHAT[kind]
    package = distribution.replace("-", "_")
    name = distribution.removeprefix("itnet-")
    words_of_class = name if name[0].isalpha() else distribution  # no class begins with a digit
    major, minor, *_ = itnet_core.__version__.split(".")
    words = {
        "distribution": distribution,
        "package": package,
        "name": name,
        "id": f"{distribution}/{name}",
        "cls": "".join(part.capitalize() for part in words_of_class.split("-")) + base,
        "base": base,
        "kind": kind,
        "title": title,
        "summary": title[0].lower() + title[1:],
        "use": f"print({use.format(id=f'{distribution}/{name}')})",
        "modality": '\n            modality="signal",' if kind in ("encoder", "task") else "",
        "core": f">={major}.{minor},<{major}.{int(minor) + 1}",
        "licence": licence,
        "year": str(datetime.date.today().year),
    }

    def filled(template: str) -> str:
        text = (resources("itnet_registry") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
        return text if template == "Apache-2.0" else Template(text).substitute(words)

    return {
        "pyproject.toml": filled("pyproject.toml"),
        "README.md": filled("README.md"),
        "LICENSE": filled(licence),
        f"{package}/__init__.py": f'"""{title}, a plugin for ITNet."""\n',
        f"{package}/py.typed": "",
        f"{package}/plugin.py": filled("plugin.py"),
        f"{package}/{kind}.py": filled(f"{kind}.py"),
        f"tests/test_{kind}.py": filled("test.py"),
    }
