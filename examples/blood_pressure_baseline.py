"""The seasonal naive forecast of examples/blood_pressure.yaml: python examples/blood_pressure_baseline.py."""

from __future__ import annotations

from pathlib import Path

from itnet_registry import create, load_config


def main() -> None:
    """Repeat the values of a season ago, and score them on the windows for test."""
    config = load_config(Path(__file__).with_name("blood_pressure.yaml"))
    task = create("task", **config["model"]["task"])
    windows = task.dataset("test")
    samples = [windows[index] for index in range(len(windows))]
    season = [
        task.config.history - task.config.season + step % task.config.season for step in range(task.config.horizon)
    ]
    naive = task.collate_targets([sample.inputs.values[season] for sample in samples])
    targets = task.collate(samples).targets
    metrics = task.metrics()
    for metric in metrics.values():
        metric.update(naive.flatten(1), targets)
    scores = "  ".join(f"{name} {metric.compute():.4f}" for name, metric in metrics.items())
    print(f"test: {scores}  ({len(samples)} windows)")


if __name__ == "__main__":
    main()
