"""Evaluators: how the sum over pairs of points is computed. All give the same number."""

from itnet_core.evaluate.auto import AutoEvaluator
from itnet_core.evaluate.dense import DenseEvaluator
from itnet_core.evaluate.evaluator import Evaluator
from itnet_core.evaluate.tiled import TiledEvaluator

__all__ = ["AutoEvaluator", "DenseEvaluator", "Evaluator", "TiledEvaluator"]
