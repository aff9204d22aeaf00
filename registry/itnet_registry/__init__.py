"""ITNet's registry: discovers plugins, resolves names, builds models, and loads and saves them.

Names are imported on first use, so that listing components imports neither torch nor pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core.plugin.lazy import lazy_exports

if TYPE_CHECKING:
    from itnet_registry.api import Registry as Registry
    from itnet_registry.api import available as available
    from itnet_registry.api import build_component as build_component
    from itnet_registry.api import citations as citations
    from itnet_registry.api import complete_reference as complete_reference
    from itnet_registry.api import component as component
    from itnet_registry.api import create as create
    from itnet_registry.api import create_model as create_model
    from itnet_registry.api import default_registry as default_registry
    from itnet_registry.api import installed_evaluators as installed_evaluators
    from itnet_registry.api import load as load
    from itnet_registry.api import load_model as load_model
    from itnet_registry.api import replace_head as replace_head
    from itnet_registry.api import replace_operator as replace_operator
    from itnet_registry.api import save_model as save_model
    from itnet_registry.api import use_sampler as use_sampler
    from itnet_registry.checkpoints.hub import from_hub as from_hub
    from itnet_registry.checkpoints.installed import InstalledModel as InstalledModel
    from itnet_registry.checkpoints.installed import installed_models as installed_models
    from itnet_registry.checkpoints.weights import load_weights as load_weights
    from itnet_registry.config.files import load_config as load_config
    from itnet_registry.config.model_config import ModelConfig as ModelConfig
    from itnet_registry.config.sections import ConfigSection as ConfigSection
    from itnet_registry.config.summary import RunSummary as RunSummary
    from itnet_registry.errors import AmbiguousNameError as AmbiguousNameError
    from itnet_registry.errors import CheckpointError as CheckpointError
    from itnet_registry.errors import ComponentError as ComponentError
    from itnet_registry.errors import Fault as Fault
    from itnet_registry.errors import PluginError as PluginError
    from itnet_registry.errors import RequirementError as RequirementError
    from itnet_registry.errors import UnknownNameError as UnknownNameError
    from itnet_registry.plugins.components import Component as Component
    from itnet_registry.plugins.settings import Settings as Settings
    from itnet_registry.prediction.predictor import Prediction as Prediction
    from itnet_registry.prediction.predictor import Predictor as Predictor

__version__ = "0.1.0"

__all__, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_registry.api": "Registry available build_component citations complete_reference component create "
        "create_model default_registry installed_evaluators load load_model replace_head replace_operator save_model "
        "use_sampler",
        "itnet_registry.checkpoints.hub": "from_hub",
        "itnet_registry.checkpoints.installed": "InstalledModel installed_models",
        "itnet_registry.checkpoints.weights": "load_weights",
        "itnet_registry.config.files": "load_config",
        "itnet_registry.config.model_config": "ModelConfig",
        "itnet_registry.config.sections": "ConfigSection",
        "itnet_registry.config.summary": "RunSummary",
        "itnet_registry.errors": "AmbiguousNameError CheckpointError ComponentError Fault PluginError RequirementError "
        "UnknownNameError",
        "itnet_registry.plugins.components": "Component",
        "itnet_registry.plugins.settings": "Settings",
        "itnet_registry.prediction.predictor": "Prediction Predictor",
    },
)
