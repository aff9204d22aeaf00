"""Sections of a configuration file, each checked by the pydantic model of the command that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from itnet_core import ConfigError, ITNetError
from itnet_core.plugin.errors import SYNONYMS, closest
from itnet_registry.errors import AmbiguousNameError, ComponentError, one_line
from itnet_registry.plugins import first_party
from itnet_registry.plugins.loading import BUILT_IN_SECTIONS
from itnet_registry.plugins.registry import PluginRegistry
from itnet_registry.plugins.requirements import pip_install

if TYPE_CHECKING:
    from itnet_core import ITNetModel, Task

INNER = {
    "classes": "model.head.classes, which the data determine for a model with a task",
    "heads": "model.kernel.heads",
    "root": "model.task.root",
}
"""Fields of components that users look for elsewhere."""


class ConfigSection(BaseModel):
    """Base of the pydantic model of a section that is also checked against the model of the same file, or scores it.

    It is frozen, strict and finite; see `itnet_core.CommandSpec.sections`.

    Example:
        >>> class SearchConfig(ConfigSection):
        ...     trials: int = 20
        ...
        ...     def check_model(self, model):
        ...         return f"{self.trials} trials with {len(model.trunk.blocks)} blocks"
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def check_model(self, model: ITNetModel) -> str:
        """Check the section against the model; `itnet validate` calls it and prints the result.

        Args:
            model: the model of the file, with random weights; it may be changed.

        Returns:
            One line, or `""`.

        Raises:
            ConfigError: the section does not fit the model.
        """
        return ""

    def epoch_scores(
        self, model: ITNetModel, tasks: Mapping[str, Task], validation: Mapping[str, Any], epoch: int
    ) -> Mapping[str, float]:
        """Score the model in training; `itnet train` calls it at the end of each epoch, after the validation.

        It logs the scores for TensorBoard and adds them to history.csv, as `section/name`. Random numbers must come
        from a generator of its own, and the model must be left as it is.

        Args:
            model: the model; where processes share the parameters, a copy with all of them on the CPU of the first
                process, which alone calls this.
            tasks: its tasks by modality.
            validation: the samples of the validation split by modality.
            epoch: the number of the epoch, from 1; 0 before the first, where the scores are dropped and faults found.

        Returns:
            Scores by name; by default none.
        """
        return {}

    def callbacks(self) -> Sequence[Any]:
        """Return callbacks of the training engine, `lightning.pytorch.Callback`; by default none.

        `itnet train` calls them after its own that score, and before the one that saves. A callback with a `state_key`
        and a `state_dict` is saved with the training state and resumed with it.
        """
        return ()


def section_model(registry: PluginRegistry, section: str, place: str) -> type[BaseModel]:
    """Return the pydantic model that checks a section.

    Raises:
        ConfigError: no command reads the section.
        AmbiguousNameError: two plugins check it with different models.
        ComponentError: the target does not import, or is not a pydantic model.
    """
    readers = {
        target: command
        for command in registry.commands()
        for name, target in command.spec.sections.items()
        if name == section
    }
    if not readers:
        raise _unknown(registry, section, place)
    if len(readers) > 1:
        listed = ", ".join(f"{command.id} ({target})" for target, command in sorted(readers.items()))
        raise AmbiguousNameError(
            place,
            found=f"a section that several commands check: {listed}",
            expected="one",
            hint="Leave one plugin out with ITNET_DISABLE.",
        )
    [(target, command)] = readers.items()
    owner = f"section {section} of {command.source.title}"
    try:
        model = command.import_target(target)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ComponentError(owner, found=one_line(error), expected=f"{target} to import") from error
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise ComponentError(owner, found=repr(model), expected="a pydantic model")
    return model


def section_models(registry: PluginRegistry) -> dict[str, type[BaseModel]]:
    """Return the models of all sections that commands read."""
    return {name: section_model(registry, name, name) for name in _names(registry)}


def field_elsewhere(registry: PluginRegistry, name: str) -> str:
    """Return the hint at a field that another section has under this name, or under ours for it; `""` for none.

    Example:
        >>> from itnet_registry import default_registry
        >>> field_elsewhere(default_registry(), "depth"), field_elsewhere(default_registry(), "num_heads")
        ('Did you mean model.depth?', 'Did you mean model.kernel.heads?')
    """
    from itnet_registry.config.model_config import ModelConfig  # it loads torch, which declarations do not need

    ours = SYNONYMS.get(name, name)
    if ours in INNER:
        return f"Did you mean {INNER[ours]}?"
    try:
        fields = {"model": ModelConfig.model_fields} | {
            section: model.model_fields for section, model in section_models(registry).items()
        }
    except ITNetError:  # a plugin with a fault; the error at hand is another one
        return ""
    found = [f"{section}.{ours}" for section, known in fields.items() if ours in known]
    return f"Did you mean {' or '.join(found)}?" if found else ""


@contextmanager
def hints_at_other_sections(registry: PluginRegistry) -> Iterator[None]:
    """Add to the error of an unknown field in the block where there is one of its name."""
    try:
        yield
    except ConfigError as error:
        if error.found == "a field that does not exist" and not error.hint:
            error.hint = field_elsewhere(registry, error.place.rpartition(".")[2])
        raise


def _names(registry: PluginRegistry) -> list[str]:
    return sorted({name for command in registry.commands() for name in command.spec.sections})


def _unknown(registry: PluginRegistry, section: str, place: str) -> ConfigError:
    known = [*BUILT_IN_SECTIONS, *_names(registry)]
    provider = first_party.provider("section", section)
    hints = [f"{fault}." for fault in registry.faults]
    if provider and not any(source.distribution == provider for source in registry.discovery.sources):
        hints.insert(0, f"{provider} reads it: {pip_install([provider])}.")
    close = closest(section, known)
    if hint := f"Did you mean {close!r}?" if close else field_elsewhere(registry, section):
        hints.insert(0, hint)
    return ConfigError(
        place, found="a section that no command reads", expected=f"one of {', '.join(known)}", hint=" ".join(hints)
    )
