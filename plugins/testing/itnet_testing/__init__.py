"""The conformance kit: test classes with checks for components, used by inheritance.

```python
from itnet_testing import EncoderConformance


class TestSpectrum(EncoderConformance):
    component = "itnet-spectrum/spectrum"
```

pytest collects one test for each check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core import lazy_exports

if TYPE_CHECKING:
    from itnet_testing.conformance.base import Conformance as Conformance
    from itnet_testing.conformance.base import Outcome as Outcome
    from itnet_testing.conformance.encoders import EncoderConformance as EncoderConformance
    from itnet_testing.conformance.evaluators import EvaluatorConformance as EvaluatorConformance
    from itnet_testing.conformance.heads import HeadConformance as HeadConformance
    from itnet_testing.conformance.kernels import KernelConformance as KernelConformance
    from itnet_testing.conformance.samplers import SamplerConformance as SamplerConformance
    from itnet_testing.conformance.tasks import TaskConformance as TaskConformance

__version__ = "0.1.0"

__all__, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_testing.conformance.base": "Conformance Outcome",
        "itnet_testing.conformance.encoders": "EncoderConformance",
        "itnet_testing.conformance.evaluators": "EvaluatorConformance",
        "itnet_testing.conformance.heads": "HeadConformance",
        "itnet_testing.conformance.kernels": "KernelConformance",
        "itnet_testing.conformance.samplers": "SamplerConformance",
        "itnet_testing.conformance.tasks": "TaskConformance",
    },
)
