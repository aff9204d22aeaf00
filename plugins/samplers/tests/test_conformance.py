"""Every sampler passes the kit: sound nodes, mass, unbiased sums and gradients, steady evaluation, learned proposals."""

from __future__ import annotations

from typing import ClassVar

from itnet_core.testing import SamplerConformance


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
