"""The evaluator passes the kit, in float64 and in float32, with every instruction set that the processor has."""

from __future__ import annotations

import torch

from itnet_testing import EvaluatorConformance


class TestNative(EvaluatorConformance):
    component = "itnet-native/native"


class TestNativeInFloat32(EvaluatorConformance):
    component = "itnet-native/native"
    dtype = torch.float32
