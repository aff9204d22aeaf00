"""Every sampler passes the kit: sound nodes, mass, unbiased sums and gradients, steady evaluation."""

from __future__ import annotations

from typing import ClassVar

import torch

from itnet_core import Field
from itnet_testing import SamplerConformance
from itnet_testing.fields import on_an_image


class TestMonteCarlo(SamplerConformance):
    component = "itnet-samplers/monte-carlo"


class TestUniform(SamplerConformance):
    component = "itnet-samplers/monte-carlo"
    options: ClassVar = {"points": 8, "proposal": "uniform", "method": "independent"}


class TestChannel(SamplerConformance):
    component = "itnet-samplers/monte-carlo"
    options: ClassVar = {"points": 8, "proposal": "channel", "channel": 3, "method": "stratified"}


class TestLearned(SamplerConformance):
    component = "itnet-samplers/monte-carlo"
    options: ClassVar = {"points": 8, "proposal": "learned", "hidden": 4}


class TestPriority(SamplerConformance):
    component = "itnet-samplers/monte-carlo"
    options: ClassVar = {"points": 8, "proposal": "channel", "method": "priority"}


class TestEachQueryItsOwn(SamplerConformance):
    component = "itnet-samplers/monte-carlo"
    options: ClassVar = {"points": 8, "proposal": "learned", "per_query": True}


class TestNeighbours(SamplerConformance):
    component = "itnet-samplers/neighbours"


class TestRadius(SamplerConformance):
    component = "itnet-samplers/neighbours"
    options: ClassVar = {"radius": 0.9}


class TestWindow(SamplerConformance):
    component = "itnet-samplers/neighbours"
    options: ClassVar = {"window": [1, 2]}

    def field(self) -> Field:
        return on_an_image(0).to(torch.float32)


class TestLandmarks(SamplerConformance):
    component = "itnet-samplers/landmarks"


class TestPool(SamplerConformance):
    component = "itnet-samplers/landmarks"
    options: ClassVar = {"pool": [2, 2]}

    def field(self) -> Field:
        return on_an_image(0).to(torch.float32)
