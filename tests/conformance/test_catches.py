"""The kit catches what is broken: each of its checks has a component that fails it, and is caught by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import Field
from itnet_testing import (
    Conformance,
    EncoderConformance,
    EvaluatorConformance,
    HeadConformance,
    KernelConformance,
    SamplerConformance,
    TaskConformance,
)
from itnet_testing.conformance import ModuleConformance
from itnet_testing.fields import scattered

BROKEN = Path(__file__).parent / "broken"


class Encoder(EncoderConformance):
    def refined(self, times: int) -> Field:
        return scattered(1, 4 * times, 3)


class Task(TaskConformance):
    def user_file(self, folder: Path) -> Path:
        return folder


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
    """Have the broken plugin installed, in subprocesses too."""
    monkeypatch.syspath_prepend(str(BROKEN))
    path = [str(BROKEN), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    return


def case(kind: str, name: str, **attributes: Any) -> Conformance:
    """Return the kit's case for a broken component."""
    cls = type("Case", (KIT[kind],), {"component": f"itnet-broken/{name}", **attributes})
    return cls()


def broken() -> list[tuple[str, str]]:
    """Return the kind and the name of each broken component; what stands before a slash is the check it is to fail."""
    spec = spec_from_file_location("broken_plugin", BROKEN / "itnet_broken/plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [(each.kind, each.name) for each in module.itnet_register_components(1)]


def check_of(name: str) -> str:
    return name.partition("/")[0].replace("-", "_")


NAMES = broken()
ALL = [(kind, check_of(name)) for kind, name in NAMES]


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=lambda each: str(each))
@pytest.mark.usefixtures("installed")
def test_a_broken_component_is_caught(kind: str, name: str) -> None:
    check = check_of(name)
    if check == "moves_to_a_device" and not torch.cuda.is_available():
        pytest.skip("there is no GPU to move to")
    broken = case(kind, name)
    assert broken.cls.__module__.startswith("itnet_broken")  # it loads: what fails is the check
    assert check in broken.due()
    outcomes = {outcome.check: outcome for outcome in broken.run(check, "unknown_option_is_refused")}
    assert outcomes[check].status == "failed"
    assert outcomes[check].detail
    assert outcomes["unknown_option_is_refused"].ok == (check != "unknown_option_is_refused")


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
    known = {"moves_to_float64": "it is made for float32"}
    [outcome] = case("encoder", "moves-to-float64", expected_failures=known).run("moves_to_float64")
    assert (outcome.status, outcome.ok, outcome.detail) == ("failed as expected", True, "it is made for float32")
    [outcome] = case("encoder", "gradients", expected_failures=known).run("moves_to_float64")
    assert (outcome.status, outcome.ok) == ("passed, but was expected to fail", False)
    for wrong in ({"moves_to_float64": " "}, {"no_such_check": "a reason"}):
        with pytest.raises(ValueError, match="expected a reason for one of"):
            case("encoder", "gradients", expected_failures=wrong).run()


def test_checks_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match="check_gradients: found in a class over the kit"):
        type("Case", (EncoderConformance,), {"check_gradients": lambda self: None})
    with pytest.raises(TypeError, match="due: found in a class over the kit"):
        type("Case", (type("Mixin", (), {"due": lambda self: []}), EncoderConformance), {})


class Terminal:
    """Stands for pytest's `capsys`, whose `disabled` lets through what cannot be captured then."""

    def disabled(self) -> Any:
        return nullcontext()


@pytest.mark.usefixtures("installed")
def test_the_count_is_printed_and_failures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    broken = case("encoder", "gradients")
    with pytest.raises(AssertionError, match="gradients failed: "):
        broken.test_conformance(Terminal())
    due = len(broken.due())
    assert due > 10
    assert f"itnet-broken/gradients: {due} of {due} checks ran\n" in capsys.readouterr().out


def test_fewer_checks_than_are_due_fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    head = HeadConformance()  # type: ignore[abstract]
    head.component = "itnet-core/regress"  # type: ignore[misc]
    due = head.due()
    monkeypatch.setattr(head, "run", lambda: HeadConformance.run(head, *due[:-1]))
    with pytest.raises(AssertionError, match="itnet-core/regress: samples_are_independent did not run"):
        head.test_conformance(Terminal())
    assert f"{len(due) - 1} of {len(due)} checks ran" in capsys.readouterr().out


def test_a_plugin_that_is_slow_to_import_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_plugin.py").write_text("import atexit, time\ntime.sleep(0.3)\natexit.register(print, 'bye')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for budget, status, detail in ((0.2, "failed", "not 0.2 s"), (60, "passed", "")):
        head = HeadConformance()  # type: ignore[abstract]
        head.component, head.import_budget = "itnet-core/regress", budget  # type: ignore[misc]
        head.found = replace(head.found, source=replace(head.found.source, module="slow_plugin"))
        [outcome] = head.run("declarations_are_light")
        assert outcome.status == status, outcome.traceback
        assert detail in outcome.detail
