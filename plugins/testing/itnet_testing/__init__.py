"""The conformance kit: checks that plugin authors run over their components, by inheritance.

```python
from itnet_testing import EncoderConformance


class TestSpectrum(EncoderConformance):
    component = "itnet-spectrum/spectrum"
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core.plugin.lazy import lazy_exports

if TYPE_CHECKING:
    from itnet_testing.conformance import Conformance as Conformance
    from itnet_testing.conformance import Outcome as Outcome
    from itnet_testing.encoders import EncoderConformance as EncoderConformance
    from itnet_testing.evaluators import EvaluatorConformance as EvaluatorConformance
    from itnet_testing.heads import HeadConformance as HeadConformance
    from itnet_testing.kernels import KernelConformance as KernelConformance
    from itnet_testing.samplers import SamplerConformance as SamplerConformance
    from itnet_testing.tasks import TaskConformance as TaskConformance

__version__ = "0.1.0"

__all__, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_testing.conformance": "Conformance Outcome",
        "itnet_testing.encoders": "EncoderConformance",
        "itnet_testing.evaluators": "EvaluatorConformance",
        "itnet_testing.heads": "HeadConformance",
        "itnet_testing.kernels": "KernelConformance",
        "itnet_testing.samplers": "SamplerConformance",
        "itnet_testing.tasks": "TaskConformance",
    },
)
