"""Both evaluators pass the kit: equal to `dense`, values and gradients, wherever they evaluate; refusals elsewhere."""

from __future__ import annotations

from typing import ClassVar

import torch

from itnet_testing import EvaluatorConformance


class TestSorted(EvaluatorConformance):
    component = "itnet-quasilinear/sorted"


class TestSortedInFloat32(EvaluatorConformance):
    component = "itnet-quasilinear/sorted"
    dtype = torch.float32


class TestChebyshev(EvaluatorConformance):
    component = "itnet-quasilinear/chebyshev"


class TestChebyshevToTenDigits(EvaluatorConformance):
    component = "itnet-quasilinear/chebyshev"
    options: ClassVar = {"tolerance": 1e-10}


class TestChebyshevInFloat32(EvaluatorConformance):
    component = "itnet-quasilinear/chebyshev"
    dtype = torch.float32
