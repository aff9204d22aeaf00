"""`itnet validate`: checks of a configuration file without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itnet_registry.cli.output import machine_readable, print_json, print_line, print_summary


@machine_readable
def validate(
    config: Annotated[Path, typer.Argument(help="A YAML or JSON file.")],
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Check the file alone: read no data, and try no training step.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Write the complete model configuration as JSON.")] = False,
) -> None:
    """Check a configuration file: names, options, every section, and that encoder, task and head fit together.

    The model is built, to check that widths and heads fit, and that the task accepts it. Then the first training steps
    are tried on the data, and what a run costs is shown: parameters, points, FLOPs, seconds, memory. The position
    encoding and the scan order chosen for the kernels are shown, if any.
    """
    from itnet_core.plugin.config import parse
    from itnet_registry.api import default_registry
    from itnet_registry.build.builder import build, build_component
    from itnet_registry.build.predictions import check_predictions
    from itnet_registry.config.files import in_file, load_config
    from itnet_registry.config.heads import check_heads
    from itnet_registry.config.resolve import resolve
    from itnet_registry.config.sections import ConfigSection, section_model

    registry = default_registry()
    sections = load_config(config)
    model, lines, summaries = None, [], []
    with in_file(config):
        parsed = {
            name: parse(section_model(registry, name, name), section, name)
            for name, section in sections.items()
            if name != "model"
        }
        if "model" in sections:
            model = resolve(registry, sections["model"])
            checks = [section for section in parsed.values() if isinstance(section, ConfigSection)]
            built = build(registry, model if checks else model.with_repeats(1))
            tasks = {modality: build_component(registry, "task", task) for modality, task in model.tasks.items()}
            check_heads(tasks, model.model_dump()["heads"])
            check_predictions(built, tasks)
            lines = [line for section in checks if (line := section.check_model(built))]
            if tasks and not no_data:
                rehearsals = [c.import_target(c.spec.rehearsal) for c in registry.commands() if c.spec.rehearsal]
                summaries = [rehearsal(sections) for rehearsal in rehearsals]
    if json:
        print_json(None if model is None else model.model_dump())
    else:
        print_line(f"{config} is valid: {', '.join(sections)}")
        if model is not None and (model.position, model.scan) != ("none", "none"):
            kernels = ", ".join(dict.fromkeys(entry.kernel.name for entry in model.trunk))
            print_line(f"for kernel {kernels}: position {model.position}, scan {model.scan}")
        for line in () if summaries else lines:  # a summary says the same, and more
            print_line(line)
        for summary in summaries:
            print_summary(summary)
