"""ITNet's training engine: Lightning around a task and a model.

Names are imported on first use, so that the plugin's declarations load neither torch nor Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core import lazy_exports

if TYPE_CHECKING:
    from itnet_train.commands.comparison import RunGroup as RunGroup
    from itnet_train.commands.comparison import compare as compare
    from itnet_train.commands.evaluation import evaluate as evaluate
    from itnet_train.commands.export import export as export
    from itnet_train.commands.sweeping import SweepResult as SweepResult
    from itnet_train.commands.sweeping import sweep as sweep
    from itnet_train.commands.training import train as train
    from itnet_train.commands.training import train_module as train_module
    from itnet_train.config import TrainConfig as TrainConfig
    from itnet_train.errors import NonFiniteError as NonFiniteError
    from itnet_train.errors import RunError as RunError
    from itnet_train.publishing.card import CardFacts as CardFacts
    from itnet_train.publishing.folder import push_to_hub as push_to_hub
    from itnet_train.publishing.folder import save_pretrained as save_pretrained
    from itnet_train.reporting.report import report as report

__version__ = "0.1.0"

__all__, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_train.commands.comparison": "RunGroup compare",
        "itnet_train.commands.evaluation": "evaluate",
        "itnet_train.commands.export": "export",
        "itnet_train.commands.sweeping": "SweepResult sweep",
        "itnet_train.commands.training": "train train_module",
        "itnet_train.config": "TrainConfig",
        "itnet_train.errors": "NonFiniteError RunError",
        "itnet_train.publishing.card": "CardFacts",
        "itnet_train.publishing.folder": "push_to_hub save_pretrained",
        "itnet_train.reporting.report": "report",
    },
)
