"""What the conformance kit checks of every component, and how its checks are run and counted."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import jsonschema
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_map

from itnet_core import ComponentConfig, ConfigError
from itnet_core.plugin.specs import Kind
from itnet_registry import Registry
from itnet_registry.plugins.components import Component

C = TypeVar("C", bound=Callable[[Any], None])
Status = Literal["passed", "failed", "failed as expected", "passed, but was expected to fail"]

HEAVY = ("torch", "numpy", "PIL", "transformers", "lightning")
"""What a plugin's declarations must not import."""


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        check: its name.
        status: how it ended.
        detail: why it failed, or why it was expected to.
        traceback: where it failed.
    """

    check: str
    status: Status
    detail: str = ""
    traceback: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended as it should."""
        return self.status in ("passed", "failed as expected")


def due_when(declared: Callable[[Any], bool]) -> Callable[[C], C]:
    """Mark a check that is due only where the component, or its author, declares what it is about."""

    def mark(check: C) -> C:
        check.due = declared  # type: ignore[attr-defined]
        return check

    return mark


class Conformance(ABC):
    """Base of the kit: a test class for one component. Derive from the class of the component's kind.

    Attributes:
        component: its id, `"itnet-image/patch"`.
        options: its configuration for the checks; by default the component's own `example_options`.
        expected_failures: checks that it is known to fail, each with the reason. One that passes after all fails.
        import_budget: seconds that importing the plugin's declarations may take, beyond the core's own.
    """

    kind: ClassVar[Kind]
    component: ClassVar[str]
    options: Mapping[str, Any] | None = None
    expected_failures: Mapping[str, str] = {}
    import_budget: float = 0.5

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        fixed = [name for name in dir(cls) if name.startswith("check_") or name in ("due", "run", "test_conformance")]
        homes = {name: getattr(getattr(cls, name), "__module__", "") for name in fixed}
        own = [name for name, home in homes.items() if not home.startswith(__package__)]
        if own:
            raise TypeError(
                f"{cls.__qualname__}.{own[0]}: found in a class over the kit; expected the kit's checks as they are. "
                "Put a known failure into expected_failures, with its reason, and tests of your own beside the class."
            )

    def test_conformance(self, capsys: Any) -> None:
        """Run the checks that are due, print how many ran, and fail if one did not end as it should."""
        outcomes, due = self.run(), self.due()
        with capsys.disabled():
            print(f"\n{self.component}: {len(outcomes)} of {len(due)} checks ran")
        left_out = [name for name in due if name not in {each.check for each in outcomes}]
        assert not left_out, f"{self.component}: {', '.join(left_out)} did not run"
        bad = [f"{each.check} {each.status}: {each.detail}\n{each.traceback}" for each in outcomes if not each.ok]
        assert not bad, "\n".join([f"{self.component}: {len(bad)} of {len(outcomes)} checks", *bad])

    def due(self) -> list[str]:
        """Return the names of the checks that are due, in the kit's order."""
        names = dict.fromkeys(name for cls in reversed(type(self).__mro__) for name in vars(cls))
        checks = [name for name in names if name.startswith("check_")]
        return [
            name.removeprefix("check_")
            for name in checks
            if getattr(getattr(self, name), "due", lambda case: True)(self)
        ]

    def run(self, *checks: str) -> list[Outcome]:
        """Run some checks, or every one that is due.

        Raises:
            ValueError: `expected_failures` names something that is no due check, or gives no reason.
        """
        due = self.due()
        for name, reason in self.expected_failures.items():
            if name not in due or not reason.strip():
                found = f"{name!r}: {reason!r}"
                raise ValueError(f"expected_failures: found {found}; expected a reason for one of {', '.join(due)}")
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            return [self._outcome(name) for name in checks or due]

    def _outcome(self, name: str) -> Outcome:
        reason = self.expected_failures.get(name)
        try:
            torch.manual_seed(0)
            getattr(self, f"check_{name}")()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if reason is not None:
                return Outcome(name, "failed as expected", reason)
            return Outcome(name, "failed", f"{type(error).__name__}: {error}", traceback.format_exc())
        return Outcome(name, "passed") if reason is None else Outcome(name, "passed, but was expected to fail", reason)

    @cached_property
    def registry(self) -> Registry:
        """The plugins of this environment."""
        return Registry()

    @cached_property
    def found(self) -> Component:
        """The component's declaration and owner."""
        return self.registry.component(self.kind, self.component)

    @cached_property
    def cls(self) -> type[Any]:
        """The component's class."""
        return self.found.load()

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The options that the checks build the component with."""
        return self.cls.example_options if self.options is None else self.options

    def small_model(self, width: int = 8, **parts: Any) -> Any:
        """Return a new model of one block; parts replace the encoder of fields and the MLP kernel."""
        encoder = {"name": "itnet-core/field", "channels": width}
        kernel = {"name": "itnet-core/mlp", "heads": 2}
        return self.registry.create_model(**{"width": width, "depth": 1, "encoder": encoder, "kernel": kernel, **parts})

    def config(self) -> ComponentConfig:
        """Return the component's configuration."""
        found: ComponentConfig = self.cls.configure(None, self.settings)
        return found

    def check_declarations_are_light(self) -> None:
        """Importing what the plugin declares imports nothing heavy, and takes no longer than the budget."""
        module = self.found.source.module
        code = (
            "import sys, time, itnet_core.plugin.specs, itnet_core.plugin.hookspecs\n"
            f"start = time.perf_counter()\nimport {module}\ntook = time.perf_counter() - start\n"
            f"print('took', took, *({set(HEAVY)!r} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, f"import {module} fails:\n{done.stderr}"
        told = [line for line in done.stdout.splitlines() if line.startswith("took ")][-1]
        _, seconds, *heavy = told.split()
        assert not heavy, f"import {module} imports {', '.join(heavy)}; import them in the component's own module"
        assert float(seconds) <= self.import_budget, f"import {module} took {seconds} s, not {self.import_budget} s"

    def check_identity(self) -> None:
        """Its id is its distribution's name and its own, and the registry has it from that distribution."""
        source, spec = self.found.source, self.found.spec
        assert self.found.id == f"{source.distribution}/{spec.name}" == self.component
        assert spec.summary.strip(), "no summary in its ComponentSpec"
        assert (self.cls.__doc__ or "").strip(), f"{self.cls.__name__} has no docstring"

    def check_configuration_survives_json(self) -> None:
        """A configuration written as JSON and read again is the same."""
        config = self.config()
        again = type(config).model_validate_json(config.model_dump_json())
        assert again == config, f"{config!r} became {again!r}"
        plain = config.model_dump()
        assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(config.model_dump_json())

    def check_schema_is_valid(self) -> None:
        """Its JSON Schema is one, and admits the configuration."""
        schema = self.cls.Config.model_json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(json.loads(self.config().model_dump_json()))

    def check_unknown_option_is_refused(self) -> None:
        """An option that does not exist is a `ConfigError` that names it."""
        try:
            self.cls.configure(None, {**self.settings, "no_such_option": 1})
        except ConfigError as error:
            told = str(error)
        else:
            raise AssertionError(f"{self.cls.__name__} accepts the option no_such_option")
        assert "no_such_option" in told, f"the error does not name the option: {told}"


class ModuleConformance(Conformance):
    """Base of the classes for components that are modules.

    Attributes:
        dim: channels of the fields.
    """

    dim: int = 8

    @abstractmethod
    def module(self, **options: Any) -> nn.Module:
        """Return a new module around the component: with `inputs`, what the checks call."""

    @abstractmethod
    def inputs(self) -> Any:
        """Return a batch of at least two samples; floating tensors in it are float32."""

    def model(self) -> Any:
        """Return a model of one block with the component, and features alone unless it is a head."""
        heads: dict[str, Any] = {} if self.kind == "head" else {"heads": {}}
        return self.small_model(self.dim, **{self.kind: {"name": self.component, **self.settings}}, **heads)

    def build(self, seed: int = 0, **options: Any) -> nn.Module:
        """Return the module in evaluation mode, with weights drawn from a seed."""
        torch.manual_seed(seed)
        return self.module(**options).eval()

    def check_building_is_deterministic(self) -> None:
        """Two that are built from one seed have the same weights."""
        same(self.build().state_dict(), self.build().state_dict(), "weights built twice from one seed", exact=True)

    def check_state_dict_is_strict(self) -> None:
        """Weights are in the `state_dict`, under the same names each time: they alone decide what comes out."""
        first, second = self.build(0), self.build(1)
        assert list(first.state_dict()) == list(second.state_dict()), "names in the state_dict differ"
        second.load_state_dict(first.state_dict(), strict=True)
        same(call(second, self.inputs()), call(first, self.inputs()), "outputs with the same weights", exact=True)

    def check_checkpoint_round_trip(self) -> None:
        """A model with it, saved and loaded through the registry, gives the same."""
        torch.manual_seed(0)
        model, batch = self.model(), self.inputs()
        path = self.folder / "checkpoint"
        self.registry.save_model(model, path)
        again = self.registry.load_model(path)
        assert again.config == model.config
        same(features(again, batch), features(model.eval(), batch), "outputs of the loaded model", exact=True)

    def check_moves_to_float64(self) -> None:
        """In float64 it computes in float64, and the same to float32's precision."""
        module, batch = self.build(), self.inputs()
        expected = call(module, batch)
        found = call(module.double(), to(batch, torch.float64))
        for tensor in floating(found)[:1]:
            assert tensor.dtype == torch.float64, f"found {tensor.dtype} after .double(); expected float64"
        same(found, expected, "outputs in float64 and float32", tolerance=1e-3)

    @due_when(lambda case: torch.cuda.is_available())
    def check_moves_to_a_device(self) -> None:
        """On a GPU it computes there, and the same."""
        module, batch = self.build(), self.inputs()
        expected = call(module, batch)
        found = call(module.cuda(), to(batch, torch.device("cuda")))
        assert all(tensor.is_cuda for tensor in floating(found)[:1])
        same(to(found, torch.device("cpu")), expected, "outputs on the GPU and the CPU", tolerance=1e-2)

    def check_gradients(self) -> None:
        """In float64, its gradients are those of finite differences, for all weights and floating inputs."""
        module, batch = self.build().double(), to(self.inputs(), torch.float64)
        weights = {name: p for name, p in module.named_parameters() if p.requires_grad}
        leaves, spec = tree_flatten(batch)
        values = [n for n, leaf in enumerate(leaves) if self.differentiable(n, leaf)]
        tensors = [leaves[n].clone().requires_grad_() for n in values] + [p.detach().clone() for p in weights.values()]

        def outputs(*tensors: Tensor) -> tuple[Tensor, ...]:
            mine = list(leaves)
            for n, tensor in zip(values, tensors, strict=False):
                mine[n] = tensor
            parameters = dict(zip(weights, tensors[len(values) :], strict=True))
            torch.manual_seed(0)
            found = functional_call(module, parameters, (spec.unflatten(mine),))
            return tuple(tensor for tensor in floating(found) if tensor.requires_grad)

        tensors = [tensor.requires_grad_() for tensor in tensors]
        if tensors and outputs(*tensors):
            torch.autograd.gradcheck(outputs, tensors, fast_mode=True, atol=1e-5, rtol=1e-3)

    def check_compiles(self) -> None:
        """Under `torch.compile` it gives the same, graph breaks allowed."""
        module, batch = self.build(), self.inputs()
        expected = call(module, batch)
        torch.compiler.reset()
        same(call(torch.compile(module, backend="aot_eager"), batch), expected, "outputs when compiled", tolerance=1e-4)

    def differentiable(self, number: int, leaf: Any) -> bool:
        """Whether the n-th tensor of a batch is one that gradients flow to: the first, if it is floating."""
        return number == 0 and isinstance(leaf, Tensor) and leaf.is_floating_point()


def call(module: Any, batch: Any) -> Any:
    """Return what a module makes of a batch, drawn from a fixed seed, without gradients."""
    torch.manual_seed(0)
    with torch.no_grad():
        return module(batch)


def features(model: Any, batch: Any) -> Any:
    """Return what a model's trunk, or its head if there is one, makes of a batch, drawn from a fixed seed."""
    return call(model if model.heads else model.features, batch)


def floating(tree: Any) -> list[Tensor]:
    """Return the floating tensors in a structure."""
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def to(tree: Any, where: torch.dtype | torch.device) -> Any:
    """Return a structure with its tensors elsewhere; a dtype is for the floating ones."""

    def move(leaf: Any) -> Any:
        stays = not isinstance(leaf, Tensor) or (isinstance(where, torch.dtype) and not leaf.is_floating_point())
        return leaf if stays else leaf.to(where)

    return tree_map(move, tree)


def same(found: Any, expected: Any, what: str, *, tolerance: float = 1e-5, exact: bool = False) -> None:
    """Compare the tensors of two structures.

    Raises:
        AssertionError: they differ; the message says what they are, and by how much.
    """
    tensors = [[leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)] for tree in (found, expected)]
    assert len(tensors[0]) == len(tensors[1]), f"{what}: found {len(tensors[0])} tensors, not {len(tensors[1])}"
    for one, other in zip(*tensors, strict=True):
        try:
            bound = {"rtol": 0, "atol": 0} if exact else {"rtol": tolerance, "atol": tolerance}
            torch.testing.assert_close(one.to(other.dtype), other, equal_nan=True, **bound)
        except AssertionError as error:
            raise AssertionError(f"{what} differ: {error}") from None
