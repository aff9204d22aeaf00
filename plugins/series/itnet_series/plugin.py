"""Components and presets of `itnet-series`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, PresetSpec, hookimpl

series = partial(ComponentSpec, modality="series")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoder and the tasks."""
    tasks = "itnet_series.tasks"
    return [
        series("encoder", "series", "itnet_series.encoders.series:SeriesEncoder", "steps of a series at their times"),
        series("task", "series-table", f"{tasks}.table:SeriesTable", "your series, one class each"),
        series("task", "series-table-regression", f"{tasks}.table:SeriesTableRegression", "your series, a number each"),
        series("task", "series-forecast", f"{tasks}.forecast:SeriesForecast", "the next steps of your series"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    step = {"name": "itnet-series/series"}
    patch = {"name": "itnet-series/series", "patch": 8}
    return [
        PresetSpec(
            "series-nano", "up to about 200 steps on a CPU", {"preset": "itnet-core/itnet-nano", "encoder": step}
        ),
        PresetSpec(
            "series-pyramid-nano",
            "windows on two scales, for regular steps, on a CPU",
            {"preset": "itnet-core/itnet-pyramid-nano", "encoder": step},
        ),
        PresetSpec(
            "series-s", "the paper's S, on patches of 8 steps", {"preset": "itnet-core/itnet-s", "encoder": patch}
        ),
    ]
