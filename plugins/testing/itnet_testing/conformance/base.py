"""Base class of the conformance kit, and the checks of every component."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import jsonschema
import pytest
import torch

from itnet_core import ComponentConfig, ConfigError, Kind
from itnet_registry import Registry, default_registry
from itnet_registry.plugins.components import Component

C = TypeVar("C", bound=Callable[[Any], None])
Status = Literal["passed", "skipped", "failed", "failed as expected", "passed, but was expected to fail"]

PREFIX = "check_"
SEALED = ("checks", "run", "test_check", "pytest_generate_tests")
"""Methods that subclasses may not replace, in addition to the checks."""
HEAVY = ("torch", "numpy", "PIL", "transformers", "lightning")
"""Packages that a plugin's declarations must not import."""


@dataclass(frozen=True)
class Outcome:
    """The result of a check.

    Example:
        >>> from itnet_testing import HeadConformance
        >>> class TestClassify(HeadConformance):
        ...     component = "itnet-core/classify"
        >>> TestClassify().run("identity")
        [Outcome(check='identity', status='passed', detail='', traceback='')]
    """

    check: str
    """Name of the check."""
    status: Status
    """Result of the check."""
    detail: str = ""
    """Why it failed, was skipped, or was expected to fail."""
    traceback: str = ""
    """Traceback of a failure."""

    @property
    def reason(self) -> str:
        """The detail in one line, that of an exception cut to 200 characters.

        Example:
            >>> Outcome("gradients", "failed", "AssertionError: they differ\\nin the first").reason
            'they differ in the first'
        """
        line = " ".join(self.detail.removeprefix("AssertionError: ").split())
        return f"{line[:199]}…" if self.traceback and len(line) > 200 else line

    @property
    def ok(self) -> bool:
        """Whether the check passed, was skipped, or failed as expected."""
        return self.status in ("passed", "skipped", "failed as expected")


def skip_unless(condition: Callable[[Any], bool], reason: str) -> Callable[[C], C]:
    """Skip a check, with a reason, unless a condition on the test case holds."""

    def mark(check: C) -> C:
        check.skip_unless = (condition, reason)  # type: ignore[attr-defined]
        return check

    return mark


class Conformance(ABC):
    """Test class for one component. Derive from the subclass for the component's kind.

    pytest collects one test for each check, `TestMine::test_check[padding_invariance]`. A check that does not apply is
    skipped with its reason.

    Example:
        >>> from itnet_testing import KernelConformance
        >>> class TestMLP(KernelConformance):
        ...     component = "itnet-core/mlp"
        ...     options = {"heads": 2}
        ...     expected_failures = {"float64": "it sums in float32"}
        >>> TestMLP.checks()[:3]
        ['light_import', 'identity', 'config_json_round_trip']
        >>> [outcome.status for outcome in TestMLP().run("tile_consistency", "float64")]
        ['passed', 'passed, but was expected to fail']

    Attributes:
        component: id of the component, such as `"itnet-image/patch"`.
        options: options with which the checks build the component; by default its `example_options`.
        expected_failures: reasons by the names of checks that are known to fail. A check that passes although it is
            expected to fail is a failure.
        import_budget: maximum time to import the plugin's declarations, in seconds, beyond the core's own.
    """

    kind: ClassVar[Kind]
    component: ClassVar[str]
    options: ClassVar[Mapping[str, Any] | None] = None
    expected_failures: ClassVar[Mapping[str, str]] = {}
    import_budget: ClassVar[float] = 0.5

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            if name.startswith(PREFIX) or name in SEALED:
                module = getattr(getattr(cls, name), "__module__", "")
                if module.partition(".")[0] != __name__.partition(".")[0]:
                    raise TypeError(
                        f"{cls.__qualname__}.{name}: found an override; expected the kit's checks unchanged. "
                        "List a known failure in expected_failures with its reason, and add further tests in methods "
                        "or classes of your own."
                    )

    @classmethod
    def checks(cls) -> list[str]:
        """Return the names of all checks of this kind, in the kit's order."""
        names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
        return [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]

    def run(self, *checks: str) -> list[Outcome]:
        """Run some checks, or all of them.

        Raises:
            ValueError: `expected_failures` names an unknown check, or gives no reason.
        """
        for name, reason in self.expected_failures.items():
            if name not in self.checks() or not reason.strip():
                raise ValueError(
                    f"expected_failures: found {name!r}: {reason!r}; "
                    f"expected a reason for one of {', '.join(self.checks())}"
                )
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            return [self._run_check(name) for name in checks or self.checks()]

    def _run_check(self, name: str) -> Outcome:
        expected = self.expected_failures.get(name)
        check = getattr(self, PREFIX + name)
        condition, reason = getattr(check, "skip_unless", (None, ""))
        try:
            applies = condition is None or condition(self)
            torch.manual_seed(0)
            if applies:
                check()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the component raises, SystemExit included
            if expected is not None:
                return Outcome(name, "failed as expected", expected)
            return Outcome(name, "failed", f"{type(error).__name__}: {error}", traceback.format_exc())
        if not applies and expected is not None:
            return Outcome(name, "failed", f"expected to fail, but is skipped: {reason}")
        if not applies:
            return Outcome(name, "skipped", reason)
        if expected is not None:
            return Outcome(name, "passed, but was expected to fail", expected)
        return Outcome(name, "passed")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrise `test_check` over the checks."""
        if metafunc.function.__name__ == "test_check":
            metafunc.parametrize("check", self.checks())

    def test_check(self, check: str) -> None:
        """Run one check as a test of its own."""
        [outcome] = self.run(check)
        if outcome.status == "skipped":
            pytest.skip(outcome.detail)
        if outcome.status == "failed as expected":
            pytest.xfail(outcome.detail)
        if not outcome.ok:
            pytest.fail(f"{check} {outcome.status}: {outcome.detail}\n{outcome.traceback}", pytrace=False)

    @cached_property
    def registry(self) -> Registry:
        """The registry of this environment."""
        return default_registry()

    @cached_property
    def declaration(self) -> Component:
        """The component's declaration and its plugin."""
        return self.registry.component(self.kind, self.component)

    @cached_property
    def cls(self) -> type[Any]:
        """The component's class."""
        return self.declaration.load()

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The options with which the checks build the component."""
        return self.cls.example_options if self.options is None else self.options

    def small_model(self, width: int = 8, **parts: Any) -> Any:
        """Return a new model of one block, with the encoder of fields and the MLP kernel unless `parts` has others."""
        encoder = {"name": "itnet-core/field", "channels": width}
        kernel = {"name": "itnet-core/mlp", "heads": 2}
        return self.registry.create_model(**{"width": width, "depth": 1, "encoder": encoder, "kernel": kernel, **parts})

    def config(self) -> ComponentConfig:
        """Return the component's configuration."""
        config: ComponentConfig = self.cls.configure(None, self.settings)
        return config

    def check_light_import(self) -> None:
        """Importing the plugin's declarations is fast and imports no heavy package."""
        module = self.declaration.source.module
        code = (
            "import sys, time, itnet_core.plugin.specs, itnet_core.plugin.hookspecs\n"
            f"start = time.perf_counter()\nimport {module}\nseconds = time.perf_counter() - start\n"
            f"print('imported', seconds, *({set(HEAVY)!r} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, f"import {module} fails:\n{done.stderr}"
        line = [line for line in done.stdout.splitlines() if line.startswith("imported ")][-1]
        _, seconds, *heavy = line.split()
        assert not heavy, f"import {module} imports {', '.join(heavy)}; import them in the component's own module"
        assert float(seconds) <= self.import_budget, f"import {module} took {seconds} s, not {self.import_budget} s"

    def check_identity(self) -> None:
        """The id is the name of the distribution and of the component, and both have a description."""
        source, spec = self.declaration.source, self.declaration.spec
        assert self.declaration.id == f"{source.distribution}/{spec.name}" == self.component
        assert spec.summary.strip(), "its ComponentSpec has no summary"
        assert (self.cls.__doc__ or "").strip(), f"{self.cls.__name__} has no docstring"

    def check_config_json_round_trip(self) -> None:
        """A configuration is equal after it is written as JSON and read again."""
        config = self.config()
        restored = type(config).model_validate_json(config.model_dump_json())
        assert restored == config, f"{config!r} became {restored!r}"
        plain = config.model_dump()
        assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(config.model_dump_json())

    def check_config_schema(self) -> None:
        """The JSON Schema of the configuration is valid and accepts the configuration."""
        schema = self.cls.Config.model_json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(json.loads(self.config().model_dump_json()))

    def check_unknown_option_error(self) -> None:
        """An unknown option raises a `ConfigError` that names it."""
        try:
            self.cls.configure(None, {**self.settings, "no_such_option": 1})
        except ConfigError as error:
            message = str(error)
        else:
            raise AssertionError(f"{self.cls.__name__} accepts the option no_such_option")
        assert "no_such_option" in message, f"the error does not name the option: {message}"
