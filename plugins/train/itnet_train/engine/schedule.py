"""Learning-rate schedules: a linear warm-up, then the shape that the configuration names."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, ReduceLROnPlateau

from itnet_train.config import ConstantSchedule, CosineSchedule, PlateauSchedule, StepSchedule, TrainConfig, WSDSchedule


def learning_rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """Return the learning rate of a step, as a fraction of the peak.

    With w = round(warmup · steps), the rate rises linearly, (step + 1) / w for step < w. Then it follows the schedule.

    Example:
        >>> config = TrainConfig(warmup=0.5, final_learning_rate_share=0.0)
        >>> [round(learning_rate_factor(step, 6, config), 3) for step in range(6)]
        [0.333, 0.667, 1.0, 1.0, 0.5, 0.0]

    Args:
        step: the step, from 0.
        steps: steps of the whole run.
        config: the training section.
    """
    rising = round(config.warmup * steps)
    if step < rising:
        return (step + 1) / rising
    final, schedule = config.final_learning_rate_share, config.schedule
    match schedule:
        case CosineSchedule():
            return final + (1 - final) * (1 + math.cos(math.pi * _progress(step, rising, steps))) / 2
        case WSDSchedule():
            start = max(rising, round((1 - schedule.decay) * steps) - 1)
            return 1 - (1 - final) * _progress(step, start, steps)
        case StepSchedule():
            return schedule.factor ** (step * config.epochs // steps // schedule.every)
        case ConstantSchedule() | PlateauSchedule():
            return 1.0


def _progress(step: int, start: int, steps: int) -> float:
    """Return how far a step is between the step `start` and the last one, in [0, 1]."""
    return min(1.0, max(0, step - start) / max(1, steps - 1 - start))


def create_schedules(optimizer: Optimizer, steps: int, config: TrainConfig, mode: str) -> list[dict[str, Any]]:
    """Return the schedulers, as Lightning expects them.

    Args:
        optimizer: the optimizer, at the peak rates.
        steps: steps of the whole run.
        config: the training section.
        mode: whether the monitored score is better if it is larger (`max`) or smaller (`min`).
    """
    schedule = config.schedule
    if not isinstance(schedule, PlateauSchedule):
        factors = LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, config))
        return [{"scheduler": factors, "interval": "step"}]
    rising = max(1, round(config.warmup * steps))
    lowest = [config.final_learning_rate_share * group["lr"] for group in optimizer.param_groups]
    # Both multiply the rate that they find, so that they can take turns.
    warmup: LRScheduler = LinearLR(optimizer, start_factor=1 / rising, total_iters=rising - 1)
    plateau = ReduceLROnPlateau(
        optimizer, "max" if mode == "max" else "min", schedule.factor, schedule.patience, threshold=0.0, min_lr=lowest
    )
    own = {"scheduler": plateau, "interval": "epoch", "reduce_on_plateau": False}  # `TaskModule` steps it
    return [{"scheduler": warmup, "interval": "step"}, own]
