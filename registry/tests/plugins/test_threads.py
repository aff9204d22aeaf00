"""A registry is used from several threads at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

import pytest

from itnet_registry import Registry, api

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

T = TypeVar("T")
THREADS = 8

SLOW = """
    import time
    time.sleep(0.02)
    @hookimpl
    def itnet_register_components(api):
        time.sleep(0.02)
        return [ComponentSpec(kind="kernel", name="k", target="{package}.parts:Kernel", summary="")]
"""


def together(ask: Callable[[], T]) -> list[T]:
    """Return what each of several threads gets, all of which begin at the same moment."""
    gate = Barrier(THREADS)

    def wait_and_ask() -> T:
        gate.wait()
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return [item.result() for item in [pool.submit(wait_and_ask) for _ in range(THREADS)]]


@pytest.fixture
def slow(garden: Garden) -> Garden:
    """Plugins that take their time."""
    for name in ("acme-a", "acme-b", "acme-c"):
        package = garden.package(name)
        parts = "import time\ntime.sleep(0.02)\nfrom itnet_core import MLPKernel as Kernel\nprint('here')"
        garden.plant(name, SLOW.format(package=package), modules={"parts": parts})
    return garden


def test_all_see_every_component(slow: Garden) -> None:
    registry = slow.registry()
    stdout = sys.stdout
    told = together(registry.available)
    assert {"acme-a/k", "acme-b/k", "acme-c/k"} < set(told[0])
    assert told == [told[0]] * THREADS
    assert registry.faults == ()
    assert sys.stdout is stdout


def test_all_find_and_import_one_component(slow: Garden, capsys: pytest.CaptureFixture[str]) -> None:
    registry = slow.registry()
    stdout = sys.stdout
    classes = together(lambda: registry.component("kernel", "acme-b/k").load())
    assert classes == [classes[0]] * THREADS
    assert sys.stdout is stdout
    assert capsys.readouterr().out == ""


def test_all_have_one_registry(slow: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Registry):
        def __init__(self) -> None:
            time.sleep(0.02)
            super().__init__()

    monkeypatch.setattr(api, "Registry", Slow)
    assert len(set(together(api.default_registry))) == 1


def test_all_learn_of_a_plugin_that_fails(slow: Garden) -> None:
    slow.plant("acme-bad", "import time\ntime.sleep(0.02)\nraise RuntimeError('no luck')")
    registry = slow.registry()

    def ask() -> list[str]:
        registry.available()
        return [fault.error for fault in registry.faults]

    assert together(ask) == [["RuntimeError: no luck"]] * THREADS


def test_all_save_to_one_path(slow: Garden, tmp_path: Path) -> None:
    slow.toy()
    registry = slow.registry()
    model = registry.create_model("toy", encoder="pixels", heads={})

    def save() -> None:
        for _ in range(5):
            registry.save_model(model, tmp_path / "c")

    together(save)
    assert registry.load_model(tmp_path / "c").config == model.config
    assert sorted(item.name for item in tmp_path.iterdir()) == ["c", "site"]
