"""ITNet's plugin that explains trained models; `itnet_explain.plugin` declares its command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core import lazy_exports

if TYPE_CHECKING:
    from itnet_explain.ablation import VARIANTS as VARIANTS
    from itnet_explain.ablation import ablate as ablate
    from itnet_explain.checkpoint import Explained as Explained
    from itnet_explain.checkpoint import explain_checkpoint as explain_checkpoint
    from itnet_explain.config import ExplainConfig as ExplainConfig
    from itnet_explain.demo import Demo as Demo
    from itnet_explain.demo import DemoAnswer as DemoAnswer
    from itnet_explain.demo import DemoServer as DemoServer
    from itnet_explain.demo import DemoUpload as DemoUpload
    from itnet_explain.explanation import Explanation as Explanation
    from itnet_explain.explanation import HeadExplanation as HeadExplanation
    from itnet_explain.explanation import KernelExplanation as KernelExplanation
    from itnet_explain.explanation import Maps as Maps
    from itnet_explain.explanation import explain as explain
    from itnet_explain.modalities import Between as Between
    from itnet_explain.profile import Profile as Profile
    from itnet_explain.profile import profile as profile
    from itnet_explain.recording import Call as Call
    from itnet_explain.recording import record as record
    from itnet_explain.report import write_report as write_report
    from itnet_explain.variance import Shares as Shares
    from itnet_explain.variance import occurring as occurring
    from itnet_explain.variance import shares as shares

__version__ = "0.1.0"

__all__, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_explain.ablation": "VARIANTS ablate",
        "itnet_explain.checkpoint": "Explained explain_checkpoint",
        "itnet_explain.config": "ExplainConfig",
        "itnet_explain.demo": "DemoAnswer Demo DemoServer DemoUpload",
        "itnet_explain.explanation": "Explanation HeadExplanation KernelExplanation Maps explain",
        "itnet_explain.modalities": "Between",
        "itnet_explain.profile": "Profile profile",
        "itnet_explain.recording": "Call record",
        "itnet_explain.report": "write_report",
        "itnet_explain.variance": "Shares occurring shares",
    },
)
