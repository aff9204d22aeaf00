"""Configuration of components: pydantic models, nested in the classes that they configure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from itnet_core.plugin.errors import ConfigError, did_you_mean, shown
from itnet_core.plugin.specs import Kind

M = TypeVar("M", bound=BaseModel)


class ComponentConfig(BaseModel):
    """Base of every component's nested `Config`: frozen, strict, with JSON-native values.

    An unknown field is refused. Validators read no file: a checkpoint's configuration is validated, and what it names
    is never opened. Fields that follow from the user's files are filled in by `completed`.

    Example:
        >>> from pathlib import Path
        >>> class Config(ComponentConfig):
        ...     root: str
        ...     classes: tuple[str, ...] | None = None  # the subfolders of `root` by default
        ...
        ...     def completed(self):
        ...         classes = self.classes or sorted(folder.name for folder in Path(self.root).iterdir())
        ...         return self.model_copy(update={"classes": tuple(classes)})
        >>> for name in ("cat", "dog"):
        ...     Path("pets", name).mkdir(parents=True)
        >>> Config(root="pets").completed()
        Config(root='pets', classes=('cat', 'dog'))
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def completed(self) -> Self:
        """Return the configuration with the fields that follow from files or downloads.

        Called for a configuration that a user writes, never for one from a checkpoint. A complete configuration is
        returned unchanged, and no file is read for it.

        Raises:
            ITNetError: a file that the configuration names cannot be read.
        """
        return self


class ComponentRef(BaseModel):
    """A component and its options, `{"name": "patch", "patch_size": 4}`; it may be written as the name alone.

    Example:
        >>> ComponentRef.model_validate("patch")
        ComponentRef(name='patch')
        >>> ComponentRef(name="patch", patch_size=4).options
        {'patch_size': 4}
    """

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    name: str
    """Bare (`patch`) or canonical (`itnet-image/patch`) name of the component."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @property
    def options(self) -> dict[str, Any]:
        """All fields but the name."""
        return dict(self.model_extra or {})


@dataclass(frozen=True)
class RefersTo:
    """Mark a field of a `Config` as a reference to another component, which this one builds by its name.

    Building a model completes the references with every option, and a checkpoint records which plugins the components
    came from.

    Example:
        >>> from typing import Annotated
        >>> class Config(ComponentConfig):
        ...     image: Annotated[ComponentRef, RefersTo("encoder", "image")] = ComponentRef(name="patch")
        ...     kernels: Annotated[tuple[ComponentRef, ...], RefersTo("kernel")] = ()
        >>> parse(Config, {"kernels": ["attention", {"name": "mlp", "heads": 2}]}, "encoder").kernels
        (ComponentRef(name='attention'), ComponentRef(name='mlp', heads=2))

    Attributes:
        kind: kind of the referenced component.
        modality: modality of the referenced component, for an encoder or a task; `None` for any.
    """

    kind: Kind
    modality: str | None = None


def referring(config: type[ComponentConfig]) -> dict[str, RefersTo]:
    """Return the fields of a `Config` that refer to other components, by name."""
    return {
        name: mark
        for name, field in config.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, RefersTo)
    }


def inner_references(
    config: type[ComponentConfig], options: Mapping[str, Any]
) -> Iterator[tuple[str, RefersTo, ComponentRef]]:
    """Yield path, mark and reference of each component that the options of a `Config` refer to.

    Args:
        config: the class of the configuration.
        options: its complete fields, JSON-native.
    """
    for field, refers in referring(config).items():
        value = options[field]
        if isinstance(value, list | tuple):
            for number, reference in enumerate(value):
                yield f"{field}.{number}", refers, ComponentRef(**reference)
        else:
            yield field, refers, ComponentRef(**value)


class Configured:
    """Base class of components: a class with a nested `Config`.

    A component is built as `Component(…, config)` or as `Component(…, field=value)`; `Component(…, component.config)`
    builds an equal one.

    Example:
        >>> class Scale(Configured):
        ...     class Config(ComponentConfig):
        ...         factor: float = 2.0
        ...
        ...     def __init__(self, config=None, **options):
        ...         self.config = self.configure(config, options)
        >>> Scale(factor=3.0).config
        Config(factor=3.0)

    Attributes:
        example_options: options of a small instance, for checks and documentation, if the defaults do not suffice.
    """

    example_options: ClassVar[Mapping[str, Any]] = {}

    class Config(ComponentConfig):
        """No fields."""

    config: Any  # an instance of the class's own Config

    @classmethod
    def configure(cls, config: ComponentConfig | None, options: Mapping[str, Any]) -> Any:
        """Merge `options` into `config` and return a validated `cls.Config`, completed if there are options.

        A `config` without options is taken as it is, so that a checkpoint's is never completed from files.

        Raises:
            ConfigError: a field is unknown, missing or of a wrong value; the place is the field's path.
        """
        base = {} if config is None else config.model_dump()
        parsed = parse(cls.Config, {**base, **options}, cls.__name__)
        return parsed if config is not None and not options else parsed.completed()

    def load_pretrained(self) -> None:
        """Load the pretrained weights that the configuration names; by default it names none.

        `create_model` calls it on every component of a new model. Loading a checkpoint does not: its weights follow.

        Raises:
            ITNetError: the weights cannot be found, or do not fit.
        """


def parse(model: type[M], data: Mapping[str, Any], place: str) -> M:
    """Validate `data` as a pydantic model.

    Example:
        >>> parse(Support, {"radius": 0.5}, "kernel.support").radius
        0.5

    Args:
        model: the class of the model.
        data: its fields.
        place: the path of `data`, with which the places of errors begin.

    Raises:
        ConfigError: the first error of pydantic, with its path below `place`, or the failure of a validator. An unknown
            field is reported before a missing one, because it may be the missing one, misspelt.
    """
    try:
        parsed = model.model_validate(data)
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda entry: entry["type"] != "extra_forbidden")
        *outer, last = first["loc"] or ("",)
        path = ".".join([place, *(f"{part!s:.100}" for part in first["loc"])])
        fields = _fields(model, outer)
        if first["type"] == "extra_forbidden" and fields is not None:
            raise ConfigError(
                path,
                found="a field that does not exist",
                expected=f"one of {', '.join(fields) or 'no field at all'}",
                hint=did_you_mean(str(last), fields),
            ) from None
        if first["type"] == "missing":
            hint = _description(model, outer, str(last))
            raise ConfigError(path, found="nothing", expected="a value", hint=hint) from None
        expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        if first["type"] in ("model_type", "dict_type"):
            expected = "fields by name, as in {name: …}"
        raise ConfigError(path, found=shown(first["input"]), expected=expected) from None
    except Exception as error:  # a validator's own, such as the overflow of a number with too many digits
        found = f"{type(error).__name__}: {error}, when they were checked"
        raise ConfigError(place, found=found, expected="values that can be checked") from error
    for path in _booleans_as_numbers(data, parsed, place):
        raise ConfigError(path, found="true or false", expected="a number")
    return parsed


def _booleans_as_numbers(given: Any, parsed: Any, path: str) -> Iterator[str]:
    """Yield the paths of booleans that pydantic accepted as numbers."""
    if isinstance(given, bool) and type(parsed) in (int, float):
        yield path
    elif parsed is given:
        return
    elif isinstance(given, Mapping):
        inner = dict(parsed) if isinstance(parsed, BaseModel | Mapping) else {}
        for name in given.keys() & inner.keys():
            yield from _booleans_as_numbers(given[name], inner[name], f"{path}.{name!s:.100}")
    elif isinstance(given, list | tuple) and isinstance(parsed, list | tuple):
        for number, (item, parsed_item) in enumerate(zip(given, parsed, strict=False)):
            yield from _booleans_as_numbers(item, parsed_item, f"{path}.{number}")


def _description(model: type[BaseModel], path: Sequence[str | int], name: str) -> str:
    """Return what a field is for, `root: Folder of the data.`, or `""` if its model does not tell."""
    inner = _model_at(model, path)
    field = None if inner is None else inner.model_fields.get(name)
    return f"{name}: {' '.join(field.description.split())}" if field is not None and field.description else ""


def _fields(model: type[BaseModel], path: Sequence[str | int]) -> list[str] | None:
    """Return the fields of the model at a path inside `model`, or `None` if no model is at that path."""
    inner = _model_at(model, path)
    return None if inner is None else list(inner.model_fields)


def _model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the model at a path inside `model`, or `None`."""
    for part in path:
        if isinstance(part, int):  # an item of the list that the part before led to
            continue
        field = model.model_fields.get(part)
        inner = None if field is None else _model_in(field.annotation)
        if inner is None:
            return None
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model of an annotation such as `Model`, `Model | None` or `list[Model]`, or `None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
