"""The conformance kit: what plugin authors check their components with, by inheritance (extra `testing`).

```python
class TestSpectrum(EncoderConformance):
    component = "itnet-spectrum/spectrum"
```

It assembles, saves and loads models, so it is the one part of the core that stands over the registry.
"""

from itnet_testing.conformance import Conformance, Outcome
from itnet_testing.encoders import EncoderConformance
from itnet_testing.evaluators import EvaluatorConformance
from itnet_testing.heads import HeadConformance
from itnet_testing.kernels import KernelConformance
from itnet_testing.samplers import SamplerConformance
from itnet_testing.tasks import TaskConformance

__all__ = [
    "Conformance",
    "EncoderConformance",
    "EvaluatorConformance",
    "HeadConformance",
    "KernelConformance",
    "Outcome",
    "SamplerConformance",
    "TaskConformance",
]
