"""The facade: everything that users do with plugins, models and checkpoints. Importing it imports no torch.

Each method of `Registry` is also a function of the package, which calls the registry of this process.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from itnet_core import ConfigError
from itnet_core.plugin.specs import Kind
from itnet_registry.errors import CheckpointError, os_errors_as
from itnet_registry.plugins.components import TAKES_DIM
from itnet_registry.plugins.plugin_code import LOADING
from itnet_registry.plugins.registry import PluginRegistry

if TYPE_CHECKING:
    from os import PathLike

    import torch

    from itnet_core import ComponentRef, Evaluator, ITNetModel
    from itnet_registry.prediction.predictor import Predictor

P = ParamSpec("P")
R = TypeVar("R")


class Registry(PluginRegistry):
    """The plugins of this environment, and the models made of their components.

    Example:
        >>> registry = Registry(prefer=["itnet-core/mlp"])
        >>> registry.component("kernel", "mlp").id
        'itnet-core/mlp'

    Args:
        prefer: canonical ids that their bare names stand for; by default those of `ITNET_PREFER`.
        settings: the plugins that may be imported; by default those of the environment variables.
    """

    def create(self, kind: Kind, /, name: str, **config: Any) -> Any:
        """Create a component; encoders, kernels, samplers and heads take their number of channels as `dim`.

        Example:
            >>> from itnet_registry import create
            >>> create("kernel", "mlp", dim=64, heads=2).config.heads
            2

        Raises:
            UnknownNameError, AmbiguousNameError: see `component`.
            RequirementError, ComponentError: see `Component.load`.
            ConfigError: an option is missing, unknown, or of a wrong value.
        """
        from itnet_registry.build.builder import load_pretrained
        from itnet_registry.build.evaluators import evaluator_arguments

        component = self.component(kind, name)
        if kind in TAKES_DIM and "dim" not in config:
            raise ConfigError(
                f"create({kind!r}, {name!r})",
                found="no dim",
                expected="dim, the number of channels",
                hint=f"Write create({kind!r}, {name!r}, dim=64).",
            )
        cls = component.load()
        created = cls(**config, **evaluator_arguments(self, cls))
        if kind in TAKES_DIM:
            load_pretrained(created, kind)
        return created

    def build_component(self, kind: Kind, reference: ComponentRef, *channels: int, place: str | None = None) -> Any:
        """Build the component of a complete reference, such as one among the options of another component.

        Its configuration is validated; unlike `create`, no file is read for it and no pretrained weights are loaded, so
        that a component can build what it refers to when it is loaded from a checkpoint.

        Example:
            >>> from itnet_core import ComponentRef
            >>> from itnet_registry import build_component
            >>> build_component("head", ComponentRef(name="itnet-core/classify", classes=10), 64).linear
            Linear(in_features=64, out_features=10, bias=True)

        Args:
            kind: one of `itnet_core.plugin.specs.KINDS`.
            reference: name and options.
            channels: the number of channels, for the kinds that take `dim`.
            place: path of the reference, for errors.

        Raises:
            UnknownNameError, AmbiguousNameError, RequirementError, ComponentError, ConfigError: as for `create`.
        """
        from itnet_registry.build.builder import build_component

        return build_component(self, kind, reference, *channels, place=place)

    def complete_reference(self, kind: Kind, reference: ComponentRef, place: str | None = None) -> ComponentRef:
        """Return a reference with the component's canonical name and every option.

        A `Config` that refers to other components calls this function in its own `completed`.

        Example:
            >>> from itnet_core import ComponentRef
            >>> from itnet_registry import complete_reference
            >>> complete_reference("encoder", ComponentRef(name="field", channels=3))
            ComponentRef(name='itnet-core/field', channels=3)

        Args:
            kind: one of `itnet_core.plugin.specs.KINDS`.
            reference: name and options.
            place: path of the reference, for errors.

        Raises:
            UnknownNameError, AmbiguousNameError, RequirementError, ComponentError, ConfigError: as for `create`.
        """
        from itnet_registry.config.model_config import PartialRef
        from itnet_registry.config.references import LoadedRef, complete_part

        part = LoadedRef.of(self, kind, PartialRef(**reference.model_dump()), kind if place is None else place)
        return complete_part(self, part)[0]

    def create_model(self, /, preset: str | None = None, **overrides: Any) -> ITNetModel:
        """Create a model from a preset and the fields of `ModelConfig`; `model.config` is its complete configuration.

        Numbers replace those of the preset; options merge into those of the same component; another component replaces
        the preset's with all its options.

        Example:
            >>> from itnet_registry import create_model
            >>> encoder, head = {"name": "field", "channels": 3}, {"name": "classify", "classes": 10}
            >>> model = create_model("itnet-nano", depth=2, encoder=encoder, head=head, kernel={"heads": 2})
            >>> len(model.trunk.blocks), model.config["trunk"][0]["kernel"]["heads"]
            (2, 2)

        Raises:
            ConfigError: a field is missing, unknown, of a wrong value, or does not fit another one; or the sizes exceed
                the machine's memory. The place is the path of the field (`model.kernel.heads`).
            UnknownNameError, AmbiguousNameError, RequirementError, ComponentError, PluginError: a component cannot be
                used.
        """
        from itnet_registry.build.builder import build, load_pretrained
        from itnet_registry.config.resolve import resolve

        config = overrides if preset is None else {**overrides, "preset": preset}
        model = build(self, resolve(self, config))
        load_pretrained(model, "model")
        return model

    def save_model(self, model: ITNetModel, path: str | PathLike[str]) -> None:
        """Write a model's weights and configuration as the directory `path`.

        The directory is written under a temporary name in the same folder and then renamed, so that a checkpoint that
        it replaces is complete at every moment.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from itnet_registry import create_model, load_model, save_model
            >>> model = create_model("itnet-nano", depth=1, encoder={"name": "field", "channels": 3}, heads={})
            >>> with TemporaryDirectory() as folder:
            ...     save_model(model, Path(folder, "model"))
            ...     load_model(Path(folder, "model")).config == model.config
            True

        Raises:
            CheckpointError: the model has no configuration, or differs from it; a component is no longer installed; its
                weights cannot be stored; or `path` is something other than a checkpoint, or cannot be written.
        """
        from itnet_registry.checkpoints.checkpoint import save_model

        with os_errors_as(CheckpointError, path):
            save_model(self, model, path)

    def load_model(self, path: str | PathLike[str], *, download: bool = False) -> ITNetModel:
        """Read the model of a checkpoint: on the CPU, in evaluation mode, bit for bit as it was saved.

        No other file is opened: files that the configuration names are not read. The network is not used, unless
        `download` is set.

        Example:
            >>> from itnet_registry import create_model, load_model, save_model
            >>> encoder, head = {"name": "field", "channels": 3}, {"name": "classify", "classes": 10}
            >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, head=head), "model")
            >>> model = load_model("model")
            >>> model.training, model.config["heads"]["field"]["classes"]
            (False, 10)

        Args:
            path: a checkpoint, as for `load`.
            download: whether a checkpoint of the hub may be downloaded.

        Raises:
            CheckpointError: the checkpoint is missing, damaged or of an unknown format; its configuration describes no
                model, or one of another size than its weights; or plugins are missing, too old or incompatible: the
                error names all of them, with one pip command.
        """
        from itnet_registry.checkpoints.checkpoint import load_model

        with os_errors_as(CheckpointError, path):
            return load_model(self, path, download=download)

    def load(
        self,
        path: str | PathLike[str],
        *,
        modality: str | None = None,
        device: str | torch.device = "auto",
        top_k: int = 5,
        download: bool = False,
    ) -> Predictor:
        """Load a checkpoint to predict with it; see `Predictor`.

        Example:
            >>> from PIL import Image
            >>> from itnet_registry import create_model, load, save_model
            >>> encoder = {"name": "patch", "patch_size": 2}
            >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
            >>> predictor = load("digits")
            >>> predictor(Image.new("L", (8, 8)))
            {'label': ..., 'probability': ..., 'likeliest': {...}}

        Args:
            path: a checkpoint directory, such as `best` in a run directory; an installed model, `zoo/fashion`; or one
                on the hub, `hf://owner/name` or `hf://owner/name@revision`, in the hub's cache.
            modality: the task of a model of several.
            device: `auto` for a GPU if PyTorch can use one; or `cpu`, `cuda`, `cuda:1`, `mps`.
            top_k: number of likeliest labels in a record, of tasks that have labels.
            download: whether a checkpoint of the hub may be downloaded.

        Raises:
            CheckpointError: as for `load_model`.
            ConfigError: the model has no task, or several and `modality` is missing; or there is no such device.
        """
        from itnet_registry.build.task_references import task_reference
        from itnet_registry.prediction.predictor import Predictor

        model = self.load_model(path, download=download)
        task = self.create("task", **task_reference(model, modality))
        return Predictor(model, task, device=device, top_k=top_k)

    def citations(self, path: str | PathLike[str]) -> dict[str, str]:
        """Return BibTeX entries by key for what a run used: the paper, PyTorch, and what its components declare.

        Example:
            >>> from itnet_registry import citations, create_model, save_model
            >>> encoder, head = {"name": "field", "channels": 3}, {"name": "classify", "classes": 10}
            >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, head=head), "model")
            >>> list(citations("model"))
            ['dhor2026itnet', 'paszke2019pytorch']

        Args:
            path: a checkpoint, or a run directory: a folder of checkpoints, and of the run's `config.yaml`.

        Raises:
            CheckpointError: there is no checkpoint, or it is damaged.
            UnknownNameError: a component is not installed.
            PluginError: a plugin declares an entry that its `citations.bib` lacks.
        """
        from itnet_registry.checkpoints.citations import citations

        return citations(self, path)

    def use_sampler(self, model: ITNetModel, sampler: str | Mapping[str, Any]) -> None:
        """Replace the sampler of all operators of a model, in place and in its configuration.

        A model trained over some of the points may be evaluated over all of them, or over fewer. If the model has this
        sampler already, options merge into its present ones, and its learned weights are kept.

        Example:
            >>> from itnet_registry import create_model, use_sampler
            >>> model = create_model("itnet-nano", depth=1, encoder={"name": "field", "channels": 3}, heads={})
            >>> use_sampler(model, "full")
            >>> model.config["trunk"][0]["sampler"]
            {'name': 'itnet-core/full'}

        Args:
            model: any model; one without a configuration keeps none.
            sampler: a name, or options with or without a name.

        Raises:
            UnknownNameError, AmbiguousNameError, RequirementError, ComponentError: the sampler cannot be used.
            ConfigError: its options are invalid.
        """
        from itnet_registry.build.replacing import use_sampler

        use_sampler(self, model, sampler)

    def replace_head(self, model: ITNetModel, head: str | Mapping[str, Any], modality: str | None = None) -> None:
        """Replace a head of a model by one with new weights, in place and in its configuration.

        If the model has this head already, options merge into its present ones.

        Example:
            >>> from itnet_registry import create_model, replace_head
            >>> encoder, head = {"name": "field", "channels": 3}, {"name": "classify", "classes": 10}
            >>> model = create_model("itnet-nano", depth=1, encoder=encoder, head=head)
            >>> replace_head(model, {"classes": 5})
            >>> model.config["heads"]["field"]
            {'name': 'itnet-core/classify', 'classes': 5}

        Args:
            model: a model with a configuration; its other parts stay.
            head: a name, or options with or without a name.
            modality: the head's modality; may be left out for a model of one modality.

        Raises:
            UnknownNameError, AmbiguousNameError, RequirementError, ComponentError: the head cannot be used.
            ConfigError: its options are invalid, or the model has no such modality, or no configuration.
        """
        from itnet_registry.build.replacing import replace_head

        replace_head(self, model, head, modality)

    def replace_operator(
        self,
        model: ITNetModel,
        *,
        kernel: str | Mapping[str, Any] | None = None,
        sampler: str | Mapping[str, Any] | None = None,
        evaluator: str | Mapping[str, Any] | None = None,
        blocks: Collection[int] | None = None,
    ) -> None:
        """Replace the kernel, sampler or evaluator of blocks, in place and in the model's configuration.

        Options of a component that the model has already merge into its present ones. Parts of an operator whose class
        and shapes stay the same (the kernel, the sampler, the maps V, O and W_o) keep their weights; the others are
        new. In a sum, each integral whose kernel the model has already keeps its weights. Another kernel gets the
        position encoding and the scan order that it needs, as in a new model; an existing encoding stays.

        Example:
            >>> from itnet_registry import create_model, replace_operator
            >>> model = create_model("itnet-nano", depth=1, encoder={"name": "field", "channels": 3}, heads={})
            >>> replace_operator(model, kernel={"support": {"radius": 0.5}})
            >>> model.config["trunk"][0]["kernel"]["support"]["radius"]
            0.5

        Args:
            model: a model with a configuration; its other parts stay.
            kernel: a name, or options with or without a name; the present kernel by default.
            sampler: as for `kernel`.
            evaluator: as for `kernel`.
            blocks: numbers of the entries of the configuration's `trunk` whose blocks change; all by default.

        Raises:
            UnknownNameError, AmbiguousNameError, RequirementError, ComponentError: a component cannot be used.
            ConfigError: options are invalid, the trunk has no such entries, or the model has no configuration.
        """
        from itnet_registry.build.replacing import replace_operator

        replace_operator(self, model, kernel=kernel, sampler=sampler, evaluator=evaluator, blocks=blocks)

    def installed_evaluators(self) -> tuple[Evaluator, ...]:
        """Return the evaluators that `auto` chooses from, in order of preference; the same ones on every call.

        Example:
            >>> from itnet_registry import installed_evaluators
            >>> all(evaluator.rank is not None for evaluator in installed_evaluators())
            True

        Raises:
            PluginError: a plugin does not load, and `ITNET_STRICT` is set.
        """
        from itnet_registry.build.evaluators import evaluators_of

        return evaluators_of(self)


@cache
def _registry() -> Registry:
    return Registry()


def default_registry() -> Registry:
    """Return the registry of this process, created on first use from the environment as it is then.

    Example:
        >>> from itnet_registry import default_registry
        >>> default_registry().preset("itnet-nano").spec.summary
        '4 blocks of width 64: for tests and CPUs'
    """
    with LOADING:
        return _registry()


def _of_default(method: Callable[Concatenate[Registry, P], R]) -> Callable[P, R]:
    """Return a method of `Registry` as a function that calls it on the default registry."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(default_registry(), *args, **kwargs)

    signature = inspect.signature(method)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=list(signature.parameters.values())[1:]
    )
    return call


available = _of_default(Registry.available)
component = _of_default(Registry.component)
create = _of_default(Registry.create)
build_component = _of_default(Registry.build_component)
complete_reference = _of_default(Registry.complete_reference)
create_model = _of_default(Registry.create_model)
save_model = _of_default(Registry.save_model)
load_model = _of_default(Registry.load_model)
load = _of_default(Registry.load)
citations = _of_default(Registry.citations)
use_sampler = _of_default(Registry.use_sampler)
replace_head = _of_default(Registry.replace_head)
replace_operator = _of_default(Registry.replace_operator)
installed_evaluators = _of_default(Registry.installed_evaluators)
