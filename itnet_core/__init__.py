"""ITNet: one learnable integral transform for every modality.

Everything that plugin authors and users need from the core is exported here. Names are imported on first use, so that a
plugin's declarations (`itnet_core.plugin`) load without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core.plugin.hookspecs import hookimpl as hookimpl
from itnet_core.plugin.lazy import lazy_exports as lazy_exports

if TYPE_CHECKING:
    from itnet_core.models.batches import map_tensors as map_tensors
    from itnet_core.models.batches import move as move
    from itnet_core.models.batches import split_batch as split_batch
    from itnet_core.models.block import Block as Block
    from itnet_core.models.detection import Detection as Detection
    from itnet_core.models.encoder import Encoder as Encoder
    from itnet_core.models.encoder import FieldEncoder as FieldEncoder
    from itnet_core.models.head import ClassificationHead as ClassificationHead
    from itnet_core.models.head import Head as Head
    from itnet_core.models.head import PerPointHead as PerPointHead
    from itnet_core.models.head import RegressionHead as RegressionHead
    from itnet_core.models.head import mean as mean
    from itnet_core.models.initial_scales import initialize_scales as initialize_scales
    from itnet_core.models.model import ITNetModel as ITNetModel
    from itnet_core.models.modes import evaluation_mode as evaluation_mode
    from itnet_core.models.neighbours import farthest_points as farthest_points
    from itnet_core.models.neighbours import nearest_points as nearest_points
    from itnet_core.models.parts import freeze as freeze
    from itnet_core.models.parts import part_names as part_names
    from itnet_core.models.query_points import CoarserGrid as CoarserGrid
    from itnet_core.models.query_points import EarlierPoints as EarlierPoints
    from itnet_core.models.query_points import FarthestPoints as FarthestPoints
    from itnet_core.models.query_points import Latents as Latents
    from itnet_core.models.query_points import QueryPoints as QueryPoints
    from itnet_core.models.task import Batch as Batch
    from itnet_core.models.task import Metric as Metric
    from itnet_core.models.task import Split as Split
    from itnet_core.models.task import Task as Task
    from itnet_core.models.trunk import Trunk as Trunk
    from itnet_core.operator.auxiliary import auxiliary_losses as auxiliary_losses
    from itnet_core.operator.evaluators import AutoEvaluator as AutoEvaluator
    from itnet_core.operator.evaluators import Choice as Choice
    from itnet_core.operator.evaluators import DenseEvaluator as DenseEvaluator
    from itnet_core.operator.evaluators import Evaluator as Evaluator
    from itnet_core.operator.evaluators import LocalEvaluator as LocalEvaluator
    from itnet_core.operator.evaluators import TiledEvaluator as TiledEvaluator
    from itnet_core.operator.evaluators import Unsupported as Unsupported
    from itnet_core.operator.evaluators.dense import pair_matrix as pair_matrix
    from itnet_core.operator.evaluators.dense import sum_values as sum_values
    from itnet_core.operator.field import AXES as AXES
    from itnet_core.operator.field import Field as Field
    from itnet_core.operator.field_union import UnionMeasure as UnionMeasure
    from itnet_core.operator.field_union import union as union
    from itnet_core.operator.integral_operator import IntegralOperator as IntegralOperator
    from itnet_core.operator.kernel import FastPath as FastPath
    from itnet_core.operator.kernel import FastPaths as FastPaths
    from itnet_core.operator.kernel import Kernel as Kernel
    from itnet_core.operator.kernel import Normalization as Normalization
    from itnet_core.operator.kernel import Problem as Problem
    from itnet_core.operator.kernel import ScalarConfig as ScalarConfig
    from itnet_core.operator.kernel import State as State
    from itnet_core.operator.kernel import Terms as Terms
    from itnet_core.operator.mlp import ACTIVATIONS as ACTIVATIONS
    from itnet_core.operator.mlp import MLPKernel as MLPKernel
    from itnet_core.operator.mlp import PointTerms as PointTerms
    from itnet_core.operator.mlp import Taps as Taps
    from itnet_core.operator.neighbourhoods import Neighbourhoods as Neighbourhoods
    from itnet_core.operator.neighbourhoods import neighbourhoods as neighbourhoods
    from itnet_core.operator.points import Edges as Edges
    from itnet_core.operator.points import Lattice as Lattice
    from itnet_core.operator.points import Measure as Measure
    from itnet_core.operator.points import Points as Points
    from itnet_core.operator.points import distinct as distinct
    from itnet_core.operator.points import gather_points as gather_points
    from itnet_core.operator.points import log_weights as log_weights
    from itnet_core.operator.precision import exact_dtype as exact_dtype
    from itnet_core.operator.precision import precise as precise
    from itnet_core.operator.sampler import FullSampler as FullSampler
    from itnet_core.operator.sampler import Nodes as Nodes
    from itnet_core.operator.sampler import Sampler as Sampler
    from itnet_core.operator.support import Axis as Axis
    from itnet_core.operator.support import Support as Support
    from itnet_core.operator.transforms import differentiated as differentiated
    from itnet_core.operator.transforms import refuse_second_derivatives as refuse_second_derivatives
    from itnet_core.operator.transforms import refuse_transform as refuse_transform
    from itnet_core.operator.transforms import tracing as tracing
    from itnet_core.plugin.config import ComponentConfig as ComponentConfig
    from itnet_core.plugin.config import ComponentRef as ComponentRef
    from itnet_core.plugin.config import Configured as Configured
    from itnet_core.plugin.config import RefersTo as RefersTo
    from itnet_core.plugin.config import parse as parse
    from itnet_core.plugin.errors import ConfigError as ConfigError
    from itnet_core.plugin.errors import DataError as DataError
    from itnet_core.plugin.errors import DerivativeError as DerivativeError
    from itnet_core.plugin.errors import FieldError as FieldError
    from itnet_core.plugin.errors import ITNetError as ITNetError
    from itnet_core.plugin.errors import ShapeError as ShapeError
    from itnet_core.plugin.errors import shown as shown
    from itnet_core.plugin.files import open_regular as open_regular
    from itnet_core.plugin.files import read_regular as read_regular
    from itnet_core.plugin.files import write_atomically as write_atomically
    from itnet_core.plugin.printable import printable as printable
    from itnet_core.plugin.specs import Check as Check
    from itnet_core.plugin.specs import CommandSpec as CommandSpec
    from itnet_core.plugin.specs import ComponentSpec as ComponentSpec
    from itnet_core.plugin.specs import Kind as Kind
    from itnet_core.plugin.specs import PresetSpec as PresetSpec

__version__ = "0.1.0"
API = 1
"""The plugin interface's version. Plugins written for `API` and `API - 1` are served."""

_exports, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_core.models.batches": "map_tensors move split_batch",
        "itnet_core.models.block": "Block",
        "itnet_core.models.encoder": "Encoder FieldEncoder",
        "itnet_core.models.head": "ClassificationHead Head PerPointHead RegressionHead mean",
        "itnet_core.models.initial_scales": "initialize_scales",
        "itnet_core.models.model": "ITNetModel",
        "itnet_core.models.modes": "evaluation_mode",
        "itnet_core.models.neighbours": "farthest_points nearest_points",
        "itnet_core.models.parts": "freeze part_names",
        "itnet_core.models.query_points": "CoarserGrid EarlierPoints FarthestPoints Latents QueryPoints",
        "itnet_core.models.detection": "Detection",
        "itnet_core.models.task": "Batch Metric Split Task",
        "itnet_core.models.trunk": "Trunk",
        "itnet_core.operator.auxiliary": "auxiliary_losses",
        "itnet_core.operator.evaluators": (
            "AutoEvaluator Choice DenseEvaluator Evaluator LocalEvaluator TiledEvaluator Unsupported"
        ),
        "itnet_core.operator.evaluators.dense": "pair_matrix sum_values",
        "itnet_core.operator.field": "AXES Field",
        "itnet_core.operator.field_union": "UnionMeasure union",
        "itnet_core.operator.integral_operator": "IntegralOperator",
        "itnet_core.operator.kernel": "FastPath FastPaths Kernel Normalization Problem ScalarConfig State Terms",
        "itnet_core.operator.mlp": "ACTIVATIONS MLPKernel PointTerms Taps",
        "itnet_core.operator.neighbourhoods": "Neighbourhoods neighbourhoods",
        "itnet_core.operator.points": "Edges Lattice Measure Points distinct gather_points log_weights",
        "itnet_core.operator.precision": "exact_dtype precise",
        "itnet_core.operator.sampler": "FullSampler Nodes Sampler",
        "itnet_core.operator.support": "Axis Support",
        "itnet_core.operator.transforms": "differentiated refuse_second_derivatives refuse_transform tracing",
        "itnet_core.plugin.config": "ComponentConfig ComponentRef Configured RefersTo parse",
        "itnet_core.plugin.errors": "ConfigError DataError DerivativeError FieldError ITNetError ShapeError shown",
        "itnet_core.plugin.files": "open_regular read_regular write_atomically",
        "itnet_core.plugin.printable": "printable",
        "itnet_core.plugin.specs": "Check CommandSpec ComponentSpec Kind PresetSpec",
    },
)
__all__ = ["API", "hookimpl", "lazy_exports", *_exports]
