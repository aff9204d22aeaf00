"""Each check of the conformance kit catches a broken component."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import Field
from itnet_registry.api import _registry
from itnet_testing import (
    Conformance,
    EncoderConformance,
    EvaluatorConformance,
    HeadConformance,
    KernelConformance,
    SamplerConformance,
    TaskConformance,
)
from itnet_testing.conformance.modules import ModuleConformance
from itnet_testing.fields import scattered

BROKEN = Path(__file__).parent / "broken"


class Encoder(EncoderConformance):
    def refined(self, times: int) -> Field:
        return scattered(1, 4 * times, 3)


class Task(TaskConformance):
    def user_file(self, folder: Path) -> Path:
        return folder

    def user_values(self) -> Sequence[Any]:
        return [scattered(1)]


KIT: dict[str, type[Conformance]] = {
    "encoder": Encoder,
    "kernel": KernelConformance,
    "sampler": SamplerConformance,
    "evaluator": EvaluatorConformance,
    "head": HeadConformance,
    "task": Task,
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the broken plugin, in subprocesses too."""
    monkeypatch.syspath_prepend(str(BROKEN))
    path = [str(BROKEN), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    _registry.cache_clear()
    yield
    _registry.cache_clear()


def case(kind: str, name: str, **attributes: Any) -> Conformance:
    """Return a test case for a broken component."""
    cls = type("Case", (KIT[kind],), {"component": f"itnet-broken/{name}", **attributes})
    return cls()


def broken() -> list[tuple[str, str]]:
    """Return the kind and name of each broken component; the part of the name before a slash is the check it fails."""
    spec = spec_from_file_location("broken_plugin", BROKEN / "itnet_broken/plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [(spec.kind, spec.name) for spec in module.itnet_register_components(1)]


def check_of(name: str) -> str:
    return name.partition("/")[0].replace("-", "_")


NAMES = broken()
RAISED_BY = {
    "config_schema": "SchemaError",
    "head": "UnknownNameError",
    "description_json": "TypeError",
    "user_file": "ValueError",
}
"""Exceptions that reach checks without an assertion. Any other one means that the broken component crashes."""
ALL = [(kind, check_of(name)) for kind, name in NAMES]


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=str)
@pytest.mark.usefixtures("installed")
def test_a_broken_component_is_caught(kind: str, name: str) -> None:
    check = check_of(name)
    if check == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    encoder = {"encoder": {"name": "itnet-core/field", "channels": 3}} if check == "batched_prediction" else {}
    broken = case(kind, name, **encoder)
    assert broken.cls.__module__.startswith("itnet_broken")  # the component loads; the check fails
    outcomes = {outcome.check: outcome for outcome in broken.run(check, "unknown_option_error")}
    assert outcomes[check].status == "failed"
    error = outcomes[check].detail.partition(":")[0]
    assert error in ("AssertionError", "GradcheckError", RAISED_BY.get(check)), outcomes[check].traceback
    assert outcomes["unknown_option_error"].ok == (check != "unknown_option_error")


def test_every_check_has_a_component_that_fails_it() -> None:
    checks = {
        (kind, name.removeprefix("check_"))
        for kind, cls in KIT.items()
        for base in cls.__mro__
        for name in vars(base)
        if name.startswith("check_")
    }
    shared = {name.removeprefix("check_") for base in (Conformance, ModuleConformance) for name in vars(base)}
    missing = {(kind, check) for kind, check in checks if check not in shared} - {*ALL}
    missing |= {("any", check) for check in shared & {c for _, c in checks}} - {("any", check) for _, check in ALL}
    assert not missing


@pytest.mark.usefixtures("installed")
def test_an_expected_failure_needs_a_reason_and_must_fail() -> None:
    known = {"float64": "it is made for float32"}
    [outcome] = case("encoder", "float64", expected_failures=known).run("float64")
    assert (outcome.status, outcome.ok, outcome.detail) == ("failed as expected", True, "it is made for float32")
    [outcome] = case("encoder", "gradients", expected_failures=known).run("float64")
    assert (outcome.status, outcome.ok) == ("passed, but was expected to fail", False)
    for wrong in ({"float64": " "}, {"no_such_check": "a reason"}):
        with pytest.raises(ValueError, match="expected a reason for one of"):
            case("encoder", "gradients", expected_failures=wrong).run()


def test_checks_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match="check_gradients: found an override"):
        type("Case", (EncoderConformance,), {"check_gradients": lambda self: None})
    with pytest.raises(TypeError, match="run: found an override"):
        type("Case", (type("Mixin", (), {"run": lambda self: []}), EncoderConformance), {})


TEST_FILE = """
from itnet_testing import EncoderConformance, HeadConformance

class TestGradients(EncoderConformance):
    component = "itnet-broken/gradients"
    expected_failures = {"float64": "it was once made for float32"}

class TestPlain(HeadConformance):
    component = "itnet-core/regress"

    def test_of_its_own(self) -> None:
        assert self.checks()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_pytest_collects_one_item_for_each_check(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TEST_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", ".", "test_mine.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    items = {f"TestGradients::test_check[{check}]" for check in EncoderConformance.checks()}
    items |= {f"TestPlain::test_check[{check}]" for check in HeadConformance.checks()}
    items.add("TestPlain::test_of_its_own")
    passed, failed = (
        {item for item in items if f"{status} test_mine.py::{item}" in done.stdout} for status in ("PASSED", "FAILED")
    )
    wrong = {"light_import", "identity", "float64", "gradients"}  # the plugin's own faults, and those declared here
    assert failed == {f"TestGradients::test_check[{check}]" for check in wrong}
    assert f"4 failed, {len(passed)} passed, {len(items) - len(passed) - 4} skipped" in done.stdout
    for line in (
        "float64 passed, but was expected to fail: it was once made for float32",
        "gradients failed: GradcheckError: ",
        "the test defines no refined()",
    ):
        assert line in done.stdout


def test_a_check_that_is_skipped_cannot_be_expected_to_fail() -> None:
    gaussian, expected = "itnet-kernels/gaussian", {"transform_exactness": "it has no transform"}
    [outcome] = case("kernel", "x", component=gaussian, expected_failures=expected).run("transform_exactness")
    assert (outcome.status, outcome.detail.partition(":")[0]) == ("failed", "expected to fail, but is skipped")
    [outcome] = case("kernel", "x", component=gaussian).run("transform_exactness")
    assert (outcome.status, outcome.ok, outcome.detail) == ("skipped", True, "the kernel has no transform()")


def test_a_plugin_that_is_slow_to_import_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_plugin.py").write_text("import atexit, time\ntime.sleep(0.3)\natexit.register(print, 'bye')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for budget, status, detail in ((0.2, "failed", "not 0.2 s"), (60, "passed", "")):
        head = case("head", "x", component="itnet-core/regress", import_budget=budget)
        source = replace(head.declaration.source, module="slow_plugin")
        head.declaration = replace(head.declaration, source=source)
        [outcome] = head.run("light_import")
        assert outcome.status == status, outcome.traceback
        assert detail in outcome.detail
