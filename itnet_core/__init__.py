"""ITNet: one learnable integral transform for every modality.

Everything that plugin authors and users need from the core is exported here. Names are imported on first use, so that a
plugin's declarations (`itnet_core.plugin`) load without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core.plugin.hookspecs import hookimpl as hookimpl
from itnet_core.plugin.lazy import lazy_exports

if TYPE_CHECKING:
    from itnet_core.models.encoder import Encoder as Encoder
    from itnet_core.models.head import Head as Head
    from itnet_core.models.head import mean as mean
    from itnet_core.models.model import ITNetModel as ITNetModel
    from itnet_core.models.neighbours import farthest_points as farthest_points
    from itnet_core.models.neighbours import nearest_points as nearest_points
    from itnet_core.models.task import Batch as Batch
    from itnet_core.models.task import Metric as Metric
    from itnet_core.models.task import Split as Split
    from itnet_core.models.task import Task as Task
    from itnet_core.models.trunk import Block as Block
    from itnet_core.models.trunk import Trunk as Trunk
    from itnet_core.operator.auxiliary import auxiliary_losses as auxiliary_losses
    from itnet_core.operator.evaluators import AutoEvaluator as AutoEvaluator
    from itnet_core.operator.evaluators import Choice as Choice
    from itnet_core.operator.evaluators import DenseEvaluator as DenseEvaluator
    from itnet_core.operator.evaluators import Evaluator as Evaluator
    from itnet_core.operator.evaluators import LocalEvaluator as LocalEvaluator
    from itnet_core.operator.evaluators import TiledEvaluator as TiledEvaluator
    from itnet_core.operator.evaluators import Unsupported as Unsupported
    from itnet_core.operator.field import AXES as AXES
    from itnet_core.operator.field import Field as Field
    from itnet_core.operator.field import UnionMeasure as UnionMeasure
    from itnet_core.operator.field import union as union
    from itnet_core.operator.integral_operator import IntegralOperator as IntegralOperator
    from itnet_core.operator.kernel import FastPaths as FastPaths
    from itnet_core.operator.kernel import Kernel as Kernel
    from itnet_core.operator.kernel import Normalization as Normalization
    from itnet_core.operator.kernel import Problem as Problem
    from itnet_core.operator.mlp import MLPKernel as MLPKernel
    from itnet_core.operator.points import Measure as Measure
    from itnet_core.operator.points import Points as Points
    from itnet_core.operator.points import gather_points as gather_points
    from itnet_core.operator.points import log_weights as log_weights
    from itnet_core.operator.sampler import FullSampler as FullSampler
    from itnet_core.operator.sampler import Nodes as Nodes
    from itnet_core.operator.sampler import Sampler as Sampler
    from itnet_core.operator.support import Support as Support
    from itnet_core.plugin.config import ComponentConfig as ComponentConfig
    from itnet_core.plugin.config import ComponentRef as ComponentRef
    from itnet_core.plugin.config import Configured as Configured
    from itnet_core.plugin.config import RefersTo as RefersTo
    from itnet_core.plugin.errors import ConfigError as ConfigError
    from itnet_core.plugin.errors import DataError as DataError
    from itnet_core.plugin.errors import DerivativeError as DerivativeError
    from itnet_core.plugin.errors import FieldError as FieldError
    from itnet_core.plugin.errors import ITNetError as ITNetError
    from itnet_core.plugin.errors import ShapeError as ShapeError
    from itnet_core.plugin.specs import Check as Check
    from itnet_core.plugin.specs import CommandSpec as CommandSpec
    from itnet_core.plugin.specs import ComponentSpec as ComponentSpec
    from itnet_core.plugin.specs import PresetSpec as PresetSpec

__version__ = "0.1.0"
API = 1
"""The plugin interface's version. Plugins written for `API` and `API - 1` are served."""

_exports, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_core.models.encoder": "Encoder",
        "itnet_core.models.head": "Head mean",
        "itnet_core.models.model": "ITNetModel",
        "itnet_core.models.neighbours": "farthest_points nearest_points",
        "itnet_core.models.task": "Batch Metric Split Task",
        "itnet_core.models.trunk": "Block Trunk",
        "itnet_core.operator.auxiliary": "auxiliary_losses",
        "itnet_core.operator.evaluators": (
            "AutoEvaluator Choice DenseEvaluator Evaluator LocalEvaluator TiledEvaluator Unsupported"
        ),
        "itnet_core.operator.field": "AXES Field UnionMeasure union",
        "itnet_core.operator.integral_operator": "IntegralOperator",
        "itnet_core.operator.kernel": "FastPaths Kernel Normalization Problem",
        "itnet_core.operator.mlp": "MLPKernel",
        "itnet_core.operator.points": "Measure Points gather_points log_weights",
        "itnet_core.operator.sampler": "FullSampler Nodes Sampler",
        "itnet_core.operator.support": "Support",
        "itnet_core.plugin.config": "ComponentConfig ComponentRef Configured RefersTo",
        "itnet_core.plugin.errors": "ConfigError DataError DerivativeError FieldError ITNetError ShapeError",
        "itnet_core.plugin.specs": "Check CommandSpec ComponentSpec PresetSpec",
    },
)
__all__ = ["API", "hookimpl", *_exports]
