"""`itnet validate`: whether a configuration file is sound, before any work is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def validate(
    config: Annotated[Path, typer.Argument(help="A YAML or JSON file.")],
    json: Annotated[bool, typer.Option("--json", help="Write the complete model configuration as JSON.")] = False,
) -> None:
    """Check a configuration file: the names, the options, that encoder, task and head go together, and every section.

    One block of the model is built, so that widths and heads are known to fit. The position encoding and the scan order
    that the kernel is given are shown, where there are any.
    """
    from itnet_core.plugin.config import parse
    from itnet_registry.assemble import build
    from itnet_registry.cli.output import print_json, print_line
    from itnet_registry.complete import at, complete
    from itnet_registry.config_file import load_config
    from itnet_registry.default import default_registry
    from itnet_registry.needs import check_heads
    from itnet_registry.sections import section_model

    registry = default_registry()
    sections = load_config(config)
    model = None
    with at(str(config)):
        for name, section in sections.items():
            if name != "model":
                parse(section_model(registry, name, name), section, name)
        if "model" in sections:
            model = complete(registry, sections["model"])
            build(registry, model.model_copy(update={"depth": 1}))
            parts = model.model_dump()
            check_heads({key: registry.create("task", **task) for key, task in parts["tasks"].items()}, parts["heads"])
    if json:
        print_json(None if model is None else model.model_dump())
    else:
        print_line(f"{config} is valid: {', '.join(sections)}")
        if model is not None and (model.position, model.scan) != ("none", "none"):
            print_line(f"for kernel {model.kernel.name}: position {model.position}, scan {model.scan}")
