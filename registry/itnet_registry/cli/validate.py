"""`itnet validate`: checks of a configuration file without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itnet_registry.cli.output import machine_readable, print_json, print_line


@machine_readable
def validate(
    config: Annotated[Path, typer.Argument(help="A YAML or JSON file.")],
    json: Annotated[bool, typer.Option("--json", help="Write the complete model configuration as JSON.")] = False,
) -> None:
    """Check a configuration file: names, options, every section, and that encoder, task and head fit together.

    One block of each entry of the trunk is built, to check that widths and heads fit, and that the task accepts the
    model. The position encoding and the scan order chosen for the kernels are shown, if any.
    """
    from itnet_core.plugin.config import parse
    from itnet_registry.api import default_registry
    from itnet_registry.build.builder import build, build_component
    from itnet_registry.build.predictions import check_predictions
    from itnet_registry.config.files import load_config
    from itnet_registry.config.heads import check_heads
    from itnet_registry.config.resolve import resolve
    from itnet_registry.config.sections import section_model
    from itnet_registry.errors import within

    registry = default_registry()
    sections = load_config(config)
    model = None
    with within(str(config)):
        for name, section in sections.items():
            if name != "model":
                parse(section_model(registry, name, name), section, name)
        if "model" in sections:
            model = resolve(registry, sections["model"])
            built = build(registry, model.with_repeats(1))
            tasks = {modality: build_component(registry, "task", task) for modality, task in model.tasks.items()}
            check_heads(tasks, model.model_dump()["heads"])
            check_predictions(built, tasks)
    if json:
        print_json(None if model is None else model.model_dump())
    else:
        print_line(f"{config} is valid: {', '.join(sections)}")
        if model is not None and (model.position, model.scan) != ("none", "none"):
            kernels = ", ".join(dict.fromkeys(entry.kernel.name for entry in model.trunk))
            print_line(f"for kernel {kernels}: position {model.position}, scan {model.scan}")
