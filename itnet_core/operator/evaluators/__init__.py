"""Evaluators compute the sum over pairs of points. Exact ones give the same result, up to rounding."""

from itnet_core.operator.evaluators.auto import AutoEvaluator, Choice
from itnet_core.operator.evaluators.dense import DenseEvaluator
from itnet_core.operator.evaluators.evaluator import Evaluator, Unsupported
from itnet_core.operator.evaluators.local import LocalEvaluator
from itnet_core.operator.evaluators.tiled import TiledEvaluator

__all__ = ["AutoEvaluator", "Choice", "DenseEvaluator", "Evaluator", "LocalEvaluator", "TiledEvaluator", "Unsupported"]
