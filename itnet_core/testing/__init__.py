"""The conformance kit: what plugin authors check their components with, by inheritance (extra `testing`).

```python
class TestSpectrum(EncoderConformance):
    component = "itnet-spectrum/spectrum"
```

It assembles, saves and loads models, so it is the one part of the core that stands over the registry.
"""

from itnet_core.testing.conformance import Conformance, Outcome
from itnet_core.testing.encoders import EncoderConformance
from itnet_core.testing.evaluators import EvaluatorConformance
from itnet_core.testing.heads import HeadConformance
from itnet_core.testing.kernels import KernelConformance
from itnet_core.testing.samplers import SamplerConformance
from itnet_core.testing.tasks import TaskConformance

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
