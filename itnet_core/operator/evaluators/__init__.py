"""Evaluators: how the sum over pairs of points is computed. All give the same number."""

from itnet_core.operator.evaluators.auto import AutoEvaluator
from itnet_core.operator.evaluators.dense import DenseEvaluator
from itnet_core.operator.evaluators.evaluator import Evaluator
from itnet_core.operator.evaluators.tiled import TiledEvaluator

__all__ = ["AutoEvaluator", "DenseEvaluator", "Evaluator", "TiledEvaluator"]
