"""Summary of a run before it starts: what it trains on, what a step costs, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itnet_registry import RunSummary
from itnet_registry.build.memory import machine_bytes, readable
from itnet_train.engine.fast_sums import computes_on_cpu, slow_cpu_hint
from itnet_train.engine.freezing import count_parameters, describe_parameters
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.rehearsal import StepCost, rehearse

LONG = 6 * 3600.0
"""Seconds from which the time of a run is a warning."""

NOTABLE = 5.0
"""Seconds of a first reading that are worth a word."""

EVALUATION = 1 / 3
"""Time of a sample without its backward pass."""


def rehearse_sections(sections: Mapping[str, Any]) -> RunSummary:
    """Build the run of a configuration, and summarize it; see `itnet_core.CommandSpec.rehearsal`.

    Raises:
        ITNetError: the run would fail before or in its first step.
    """
    run = ModelRun.from_sections(sections)
    run.prepare()
    return summarize(run)


def summarize(run: ModelRun) -> RunSummary:
    """Check a run, take its first steps in small, and return what it will cost. The model's weights change.

    Raises:
        ITNetError: the run would fail before or in its first step.
    """
    trained = describe_parameters(run.model)
    parameters = {
        "parameters": count_parameters(run.model),
        "trained_parameters": count_parameters(run.model, trained=True),
    }
    samples = run.check()
    costs = rehearse(run)
    seconds = run_seconds(run, costs)
    steps = {modality: _record(cost) for modality, cost in costs.items()}
    values = {**parameters, "samples": samples, "steps": steps, "seconds": round(seconds, 1)}
    rows = [("parameters", trained), ("samples", "  ".join(f"{split} {count:,}" for split, count in samples.items()))]
    for modality, cost in costs.items():
        rows += [(name if len(costs) == 1 else f"{modality}: {name}", text) for name, text in _rows(cost)]
    epochs = f"{run.config.epochs} epochs" if run.config.epochs > 1 else "1 epoch"
    rows.append(("time", f"about {duration(seconds)} for {epochs} on this machine"))
    return RunSummary(values, tuple(rows), tuple(_warnings(run, costs, seconds)))


def run_seconds(run: ModelRun, costs: Mapping[str, StepCost]) -> float:
    """Return the time of a run, with the validation after each epoch."""
    limit = run.config.max_minutes
    seconds = first_reading(costs) + run.config.epochs * epoch_seconds(run, costs)
    return min(seconds, float("inf") if limit is None else 60 * limit)


def first_reading(costs: Mapping[str, StepCost]) -> float:
    """Return the seconds that the first epoch takes longer than the others."""
    return sum(cost.first_reading for cost in costs.values())


def epoch_seconds(run: ModelRun, costs: Mapping[str, StepCost]) -> float:
    """Return the time of an epoch after the first, with its validation."""
    seconds = 0.0
    for modality, cost in costs.items():
        validation = len(run.data.dataset(modality, "validation")) / cost.batch_size
        seconds += cost.seconds * (cost.steps + EVALUATION * validation)
    return seconds


def duration(seconds: float) -> str:
    """Return a duration with two digits or so.

    Example:
        >>> duration(0.042), duration(95), duration(6000), duration(400_000)
        ('0.042 s', '1.6 min', '1.7 h', '4.6 days')
    """
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 99 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2g} s"


def _record(cost: StepCost) -> dict[str, Any]:
    return {
        "points": cost.points,
        "batch_size": cost.batch_size,
        "steps_per_epoch": cost.steps,
        "flops": cost.flops,
        "seconds": round(cost.seconds, 4),
        "first_reading": round(cost.first_reading, 4),
        "memory": cost.memory,
        "measured_samples": cost.measured,
    }


def _rows(cost: StepCost) -> list[tuple[str, str]]:
    flops = "" if cost.flops is None else f", {_flops(cost.flops)}"
    estimated = "" if cost.measured == cost.batch_size else f", estimated from {cost.measured} samples"
    memory = "" if cost.memory is None else f", {readable(cost.memory)} of memory"
    reading = (
        f"; the first one reads the data in {duration(cost.first_reading)}" if cost.first_reading > NOTABLE else ""
    )
    return [
        ("points", f"{cost.points:,} a sample"),
        ("step", f"{cost.batch_size} samples: {duration(cost.seconds)}{flops}{memory}{estimated}"),
        ("epoch", f"{cost.steps:,} step{'s' if cost.steps > 1 else ''}{reading}"),
    ]


def _flops(count: float) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9)):
        if count >= size:
            return f"{count / size:.3g} {unit}FLOPs"
    return f"{count / 1e6:.3g} MFLOPs"


def _warnings(run: ModelRun, costs: dict[str, StepCost], seconds: float) -> list[str]:
    found = []
    largest = max(cost.memory or 0 for cost in costs.values())
    if computes_on_cpu(run.config) and largest > 0.9 * machine_bytes():
        found.append(
            f"a step needs about {readable(largest)}, and this machine has {readable(machine_bytes())}: "
            "lower train.batch_size (and set train.accumulate), or set train.gradient_checkpointing: true"
        )
    if seconds > LONG:
        points = max(cost.points for cost in costs.values())
        found.append(
            f"the run would take {duration(seconds)} on this machine. Its cost grows with the square of the {points:,} "
            "points of a sample, unless the kernels have windows: take a larger patch or stride, or smaller inputs; "
            "a preset with windows (itnet-pyramid-nano); fewer epochs; or train.max_minutes"
        )
    return [*found, *filter(None, [slow_cpu_hint(run.model, run.config)])]
