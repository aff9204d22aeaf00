"""Model cards: README.md with metadata in the form of the hub's, written from a checkpoint and its run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import Any

from itnet_registry.checkpoints.manifest import Manifest
from itnet_registry.config.yaml_text import to_yaml
from itnet_train.config import TrainConfig
from itnet_train.storage.directory import flatten
from itnet_train.storage.record import RunRecord

TEXTS = ("text",)
"""Modalities whose inputs are strings on the command line."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a model card tells that a run does not know.

    Example:
        >>> CardFacts(license="apache-2.0", data="Fashion-MNIST", data_license="MIT").data
        'Fashion-MNIST'

    Attributes:
        license: identifier of the licence of the weights, as the hub has them: `apache-2.0`.
        data: name of the training data.
        data_license: licence of the training data.
        data_source: where the training data are from, such as an address.
        command: the command that trained the model.
        install: distributions to install for it, beside those of its components.
    """

    license: str = ""
    data: str = ""
    data_license: str = ""
    data_source: str = ""
    command: str = ""
    install: tuple[str, ...] = ()


def model_card(
    address: str,
    manifest: Manifest,
    parameters: int,
    citations: Mapping[str, str],
    run: RunRecord | None = None,
    facts: CardFacts | None = None,
) -> str:
    """Return the card of a checkpoint. It names no path of the machine that trained the model.

    Args:
        address: what `itnet_registry.load` takes, such as `hf://owner/name`.
        manifest: of the checkpoint.
        parameters: their number.
        citations: BibTeX entries by key.
        run: the run whose best checkpoint it is; without it, the card has neither results nor options of training.
        facts: what the run does not know.
    """
    facts = facts or CardFacts()
    name = address.rpartition("/")[2]
    results = list(_results(manifest, run, facts))
    metrics = dict.fromkeys(m["type"] for result in results for m in result["metrics"] if m["type"] != "loss")
    metadata = {
        "library_name": "itnet",
        "license": facts.license,
        "tags": ["itnet", *manifest.config.encoders],
        "metrics": list(metrics),
        "model-index": [{"name": name, "results": results}] if results else [],
        "itnet": {"parameters": parameters} | ({"data_license": facts.data_license} if facts.data_license else {}),
    }
    sections = {
        "Use": _use(address, manifest, facts.install),
        "Data": _data(manifest, facts),
        "Results": _table(("split", "metric", "value"), _scores(results)),
        "Training": _training(run, facts),
        "Plugins and versions": _table(("distribution", "version"), sorted(_versions(manifest, run).items())),
        "Licence": f"The weights: {facts.license}." if facts.license else "",
        "Citation": "```bibtex\n" + "\n\n".join(citations.values()) + "\n```" if citations else "",
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    kinds = " and ".join(manifest.config.encoders)
    about = f"An [ITNet](https://arxiv.org/abs/2606.19538) of modality {kinds}, with {parameters:,} parameters."
    front = to_yaml({key: value for key, value in metadata.items() if value})
    return f"---\n{front}---\n\n# {name}\n\n{about}\n\n{body}\n"


def without_folders(value: Any) -> Any:
    """Return the last name of a path of this machine, and any other value as it is.

    In a mapping, such as the architecture of a pretrained model, only values of keys that end in `path` are changed.

    Example:
        >>> without_folders("/home/ada/photos"), without_folders("data/photos"), without_folders("/")
        ('photos', 'data/photos', '/')
        >>> without_folders({"_name_or_path": "/home/ada/bert", "vocab": {"/": 3}})
        {'_name_or_path': 'bert', 'vocab': {'/': 3}}
    """
    if isinstance(value, Mapping):
        walked = {k: v for k, v in value.items() if isinstance(v, Mapping) or k.endswith("path")}
        return {**value, **{key: without_folders(item) for key, item in walked.items()}}
    if not isinstance(value, str):
        return value
    path: PurePath = PureWindowsPath(value) if "\\" in value else PurePath(value)
    local = path.is_absolute() or value.startswith("~") or ".." in path.parts
    return path.name or value if local else value


def _use(address: str, manifest: Manifest, install: Iterable[str]) -> str:
    """Return how to install and call the model."""
    plugins = sorted({*install, *(record.distribution for record in manifest.components.values())} - {"itnet-core"})
    hub = address.startswith("hf://")
    extras = "hub,train" if hub else "train"
    example = '"a text"' if set(manifest.config.tasks) <= {*TEXTS} else "FILE"
    argument = example if example.startswith('"') else '"FILE"'
    several = len(manifest.config.tasks) > 1
    modality = next(iter(manifest.config.tasks), "")
    options = f", modality={modality!r}" * several + ", download=True" * hub
    flags = f" --modality {modality}" * several + " --download" * hub
    load = (
        f'from itnet_registry import load\n\npredictor = load("{address}"{options})\nprint(predictor({argument}))'
        if manifest.config.tasks
        else f'from itnet_registry import load_model\n\nmodel = load_model("{address}"{", download=True" * hub})'
    )
    command = f"\n\n```sh\nitnet predict {address} {example}{flags}\n```" * bool(manifest.config.tasks)
    return f"```sh\npip install 'itnet[{extras}]' {' '.join(plugins)}\n```\n\n```python\n{load}\n```{command}"


def _data(manifest: Manifest, facts: CardFacts) -> str:
    named = {
        "Task": ", ".join(task.name for task in manifest.config.tasks.values()),
        "Data": facts.data,
        "Licence of the data": facts.data_license,
        "Source": facts.data_source,
    }
    return "\n".join(f"- {title}: {text}" for title, text in named.items() if text)


def _results(manifest: Manifest, run: RunRecord | None, facts: CardFacts) -> Iterator[dict[str, Any]]:
    """Yield the test scores of each task in the form of the hub's `model-index`, the monitored one first."""
    scores = run.metrics.get("test", {}) if run else {}
    tasks = manifest.config.tasks
    for modality, task in tasks.items():
        prefix = f"{modality}/" if len(tasks) > 1 else ""
        found = {n.removeprefix(prefix): v for n, v in scores.items() if n.startswith(prefix) and v is not None}
        bare = task.name.partition("/")[2]
        if found and run:
            yield {
                "task": {"type": bare, "name": task.name},
                "dataset": {"type": bare, "name": facts.data or bare, "split": "test"},
                "metrics": [
                    {"type": name, "value": found[name], "name": f"test {name}"}
                    for name in sorted(found, key=lambda name: name != run.monitor)
                ],
            }


def _scores(results: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (f"{result['dataset']['name']}, test", metric["type"], f"{metric['value']:.4f}")
        for result in results
        for metric in result["metrics"]
    ]


def _training(run: RunRecord | None, facts: CardFacts) -> str:
    """Return the options of training that are not the defaults, and what training took."""
    if run is None:
        return ""
    defaults = flatten(TrainConfig().model_dump(mode="json"))
    options = flatten(run.config.get("train", {}))
    changed = [(f"`{key}`", f"`{without_folders(v)}`") for key, v in options.items() if defaults.get(key) != v]
    numbers = {
        "preset": run.about.get("preset"),
        "best epoch": run.metrics.get("best_epoch"),
        "epochs": run.metrics.get("epochs"),
        "steps": run.metrics.get("steps"),
        "minutes of wall clock": round(run.seconds / 60, 1) or None,
        "started": run.about.get("started"),
    }
    told = _table(
        ("option or result", "value"), [*((name, number) for name, number in numbers.items() if number), *changed]
    )
    return f"`{facts.command}`\n\n{told}" if facts.command else told


def _versions(manifest: Manifest, run: RunRecord | None) -> dict[str, str]:
    saved = {record.distribution: record.version for record in manifest.components.values()}
    return {**(run.metrics.get("versions", {}) if run else {}), **saved}


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table, or "" without rows."""
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    columns = list(head)
    return "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines]) if lines else ""
