"""The kit catches what is broken: each of its checks has a component that fails it, and is caught by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core.field import Field
from itnet_core.testing import (
    Conformance,
    EncoderConformance,
    EvaluatorConformance,
    HeadConformance,
    KernelConformance,
    SamplerConformance,
    TaskConformance,
)
from itnet_core.testing.conformance import ModuleConformance
from itnet_core.testing.fields import scattered

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


def broken() -> dict[str, dict[str, str]]:
    """Return, by kind, the check that each broken component is to fail, and the component's name."""
    spec = spec_from_file_location("broken_plugin", BROKEN / "itnet_broken/plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, dict[str, str]] = {}
    for each in module.itnet_register_components(1):
        found.setdefault(each.kind, {})[each.name.replace("-", "_")] = each.name
    return found


BROKEN_BY_KIND = broken()
ALL = [(kind, check) for kind, checks in BROKEN_BY_KIND.items() for check in checks]


@pytest.mark.parametrize(("kind", "check"), ALL, ids=lambda each: str(each))
@pytest.mark.usefixtures("installed")
def test_a_broken_component_is_caught(kind: str, check: str) -> None:
    if check == "moves_to_a_device" and not torch.cuda.is_available():
        pytest.skip("there is no GPU to move to")
    broken = case(kind, BROKEN_BY_KIND[kind][check])
    assert broken.cls.__module__.startswith("itnet_broken")  # it loads: what fails is the check
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


@pytest.mark.usefixtures("installed")
def test_the_count_is_printed_and_failures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match="gradients failed: "):
        case("encoder", "gradients").test_conformance(capsys)
