"""Fixtures and settings shared by the tests of several packages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

if not torch.cuda.is_available():  # before anything imports Triton, whose interpreter plugins/triton is tested by
    os.environ.setdefault("TRITON_INTERPRET", "1")

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

# "fixed" draws the same examples in every run. "random" draws new ones, and prints how to reproduce a failure:
# HYPOTHESIS_PROFILE=random make test, or pytest --hypothesis-profile=random.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compile one configuration of each component in `make test`, and all in `make test-all`: it takes seconds."""
    compiled = set()
    for item in items:
        component = getattr(getattr(item, "cls", None), "component", None)
        if component is not None and item.name == "test_check[compile]":
            if component in compiled:
                item.add_marker(pytest.mark.slow)
            compiled.add(component)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _caches_of_the_session(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Leave the user's cache folder alone."""
    monkeypatch.setenv("ITNET_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _hints_name_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hints say what they say where the registry was installed from an index, and not from this clone."""
    monkeypatch.setattr("itnet_registry.plugins.clone.clone_root", lambda: None)


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Write an image of random pixels to a file, whose suffix says the format."""
    random = np.random.default_rng(0)

    def write(path: Path, size: tuple[int, int] = (20, 16), mode: str = "RGB", **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "I;16":
            image = Image.fromarray(random.integers(0, 2**16, size[::-1], dtype=np.uint16))
        else:
            drawn = "RGB" if mode == "P" else mode
            bands = len(Image.new(drawn, (1, 1)).getbands())
            pixels = random.integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
            image = Image.frombytes(drawn, size, pixels.tobytes())
        (image.quantize(16) if mode == "P" else image).save(path, **options)
        return path

    return write


@pytest.fixture
def dry_run() -> Callable[..., dict[str, int]]:
    """Check a configuration of examples/paper as `itnet train --dry-run` does, on one CPU, with some fields changed."""

    def check(name: str, *assignments: str) -> dict[str, int]:
        from itnet_registry import load_config
        from itnet_train.commands.overrides import apply_overrides
        from itnet_train.engine.model_run import ModelRun

        config = load_config(Path(__file__).parent / f"examples/paper/{name}.yaml")
        machine = ("train.devices=1", "train.precision=32-true", "train.accelerator=cpu")
        return ModelRun.from_sections(apply_overrides(config, [*machine, *assignments])).check()

    return check


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless browser that reaches files and this machine alone."""
    webdriver: Any = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900", rules):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def width_on_a_phone(browser: Any) -> Callable[[str], int]:
    """Return a function that opens a page on a screen 360 wide, and returns how wide its content is."""

    def width(url: str) -> int:
        size = {"width": 360, "height": 720, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(url)
        found: int = browser.execute_script("return document.documentElement.scrollWidth")
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        return found

    return width


@pytest.fixture
def shades(browser: Any) -> Callable[[str], list[str]]:
    """Return a function that returns the backgrounds of a page for readers who prefer light and dark."""

    def backgrounds(url: str) -> list[str]:
        found = []
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            browser.get(url)
            found.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        return found

    return backgrounds
