"""The page of `itnet demo` in a browser, with a model of every modality that `itnet train` trains for an epoch."""

from __future__ import annotations

import json
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from itnet_explain import Demo, DemoServer
from itnet_train import train

SECONDS = 60
EVIL = "<img src=x onerror=window.injected=1>"
"""HTML that says when it is run."""


@dataclass(frozen=True)
class Case:
    """A model to train, a sample for it, and an upload that it must refuse."""

    task: dict[str, Any]
    preset: str
    files: tuple[Path, ...] = ()
    text: str = ""
    shown: str = "probability"
    refused: str = ""
    encoder: dict[str, Any] | None = None
    images: int = 0


def image(folder: Path) -> Case:
    write_image(folder / "one.png")
    return Case(
        {"name": "digits", "training_samples": 100},
        "itnet-nano",
        (folder / "one.png",),
        encoder={"name": "patch", "patch_size": 4},
        refused="upload0.png",
        images=1,
    )


def text(folder: Path) -> Case:
    rows = "".join(f"a {word} film,{label}\n" for word, label in [("fine", "good"), ("dull", "bad")] * 8)
    (folder / "train.csv").write_text("text,label\n" + rows)
    task = {"name": "text-table", "train": str(folder / "train.csv")}
    return Case(task, "text-nano", text=f"a fine {EVIL} film", refused="found nothing; expected a file or a text")


def audio(folder: Path) -> Case:
    for label, pitch in (("high", 800), ("low", 200)):
        for number in range(8):
            write_tone(folder / "clips" / label / f"{number}.wav", pitch + number)
    task = {"name": "audio-folder", "root": str(folder / "clips"), "sample_rate": 8000, "max_seconds": 0.5}
    return Case(task, "audio-nano", (folder / "clips/low/0.wav",), refused="upload0.wav", images=1)


def point_cloud(folder: Path) -> Case:
    for label, height in (("flat", 0.1), ("tall", 3.0)):
        for number in range(8):
            write_pyramid(folder / "meshes" / label / f"{number}.off", height + 0.01 * number)
    task = {"name": "mesh-folder", "root": str(folder / "meshes"), "points": 64}
    encoder = {"name": "local-group", "centres": 16, "neighbours": 8}
    return Case(task, "itnet-nano", (folder / "meshes/tall/0.off",), encoder=encoder, refused="upload0.off")


def series(folder: Path) -> Case:
    rows = [f"{n},{t},{np.sin((1 + n % 2) * t):.3f},{'ab'[n % 2]}\n" for n in range(16) for t in range(12)]
    (folder / "train.csv").write_text("series,time,value,label\n" + "".join(rows))
    (folder / "one.csv").write_text("series,time,value\n" + "".join(row.rpartition(",")[0] + "\n" for row in rows[:12]))
    task = {"name": "series-table", "train": str(folder / "train.csv"), "series": "series", "time": "time"}
    return Case(task, "series-nano", (folder / "one.csv",), refused="upload0.csv")


def graph(folder: Path) -> Case:
    ring = {"nodes": [[1]] * 6, "edges": [[i, (i + 1) % 6] for i in range(6)]}
    (folder / "ring.jsonl").write_text(json.dumps(ring) + "\n")
    task = {"name": "graph-motifs", "samples": 40, "test_samples": 12}
    return Case(task, "graph-nano", (folder / "ring.jsonl",), refused="upload0.jsonl")


def field(folder: Path) -> Case:
    places = np.linspace(0, 1, 16)[:, None]
    np.savez(folder / "u.npz", inputs=np.sin(6 * places), positions=places)
    task = {"name": "antiderivative", "points": 16, "samples": 40, "test_samples": 12}
    return Case(task, "operator-1d-nano", (folder / "u.npz",), shown="maximum", refused="upload0.npz")


def image_text(folder: Path) -> Case:
    write_easy_vqa(folder)
    return Case(
        {"name": "easy-vqa", "root": str(folder)},
        "image-text-nano",
        (folder / "train/images/0.png",),
        f"is it red {EVIL}?",
        refused="expected an image and a text",
    )


def image_pair_text(folder: Path) -> Case:
    write_easy_vqa(folder)
    sizes = {"training_samples": 40, "validation_samples": 12, "test_samples": 12, "validation": 0.5}
    images = tuple(folder / f"train/images/{number}.png" for number in (0, 1))
    return Case(
        {"name": "easy-vqa-pairs", "root": str(folder), **sizes},
        "image-pair-text-nano",
        images,
        "Both images show a circle.",
        refused="expected 2 images and a text",
    )


MODALITIES = (image, text, audio, point_cloud, series, graph, field, image_text, image_pair_text)


@pytest.mark.parametrize("make", MODALITIES, ids=lambda make: make.__name__)
def test_a_sample_is_predicted_and_explained(make: Callable[[Path], Case], browser: Any, tmp_path: Path) -> None:
    case = make(tmp_path)
    with page_of(case, tmp_path / "run", browser) as server:
        refuse(browser, case, tmp_path)
        upload(browser, case.files, case.text)
        wait(browser, "return document.querySelectorAll('#answer .row').length")
        assert case.shown in browser.execute_script("return document.getElementById('answer').innerText")
        assert browser.execute_script("return document.getElementById('error').textContent") == ""
        link = browser.execute_script("return document.getElementById('link').href")
        assert link == f"{server.url}reports/1.html"
        browser.switch_to.frame("report")
        wait(browser, "return document.querySelectorAll('.head').length")
        assert has_a_map(browser)
        wait(browser, f"return Object.keys(images).length === {case.images}")  # the sample under its map
        assert not browser.execute_script("return window.injected || window.parent.injected")
        browser.switch_to.default_content()
    severe = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in severe if "status of 422" not in line] == []


@contextmanager
def page_of(case: Case, run: Path, browser: Any) -> Iterator[DemoServer]:
    """Train a model of one block for an epoch, and open its page."""
    encoder = {} if case.encoder is None else {"encoder": case.encoder}
    model = {"preset": case.preset, "depth": 1, "task": case.task, **encoder}
    train({"model": model, "train": {"epochs": 1, "batch_size": 8, "accelerator": "cpu"}}, run)
    with DemoServer(Demo(run / "best"), port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.get(server.url)
        yield server
        server.shutdown()


def refuse(browser: Any, case: Case, folder: Path) -> None:
    """Upload what is no sample: a broken file, a file without its text, or nothing."""
    files = case.files
    if files and not case.text:
        files = (folder / f"{EVIL}{files[0].suffix}",)
        files[0].write_bytes(b"\0 not a sample")
    upload(browser, files, "")
    wait(browser, "return document.getElementById('error').textContent")
    assert case.refused in browser.execute_script("return document.getElementById('error').textContent")


def upload(browser: Any, files: tuple[Path, ...], words: str) -> None:
    """Fill in the form as a person with a keyboard does."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    if files:
        browser.find_element(By.ID, "file").send_keys("\n".join(map(str, files)))
    if words:
        browser.find_element(By.ID, "text").send_keys(words)
    browser.find_element(By.ID, "go").send_keys(Keys.ENTER)
    wait(browser, "return !document.getElementById('go').disabled")


def wait(browser: Any, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, SECONDS).until(lambda page: page.execute_script(script))


def has_a_map(browser: Any) -> bool:
    """Whether the report's canvas, or its tokens, show more than one colour."""
    script = """
        const map = document.getElementById('map'), pixels = new Set();
        for (const one of document.querySelectorAll('#tokens button')) pixels.add(one.style.background);
        if (map.width) new Uint32Array(map.getContext('2d').getImageData(0, 0, map.width, map.height).data.buffer)
            .forEach(pixel => pixels.add(pixel));
        return pixels.size;
    """
    return bool(browser.execute_script(script) > 1)


def write_image(file: Path, color: str = "white") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    drawn = Image.new("RGB", (32, 32), "black")
    drawn.paste(Image.new("RGB", (8, 24), color), (12, 4))
    drawn.save(file)


def write_tone(file: Path, pitch: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    tone = (8000 * np.sin(2 * np.pi * pitch * np.arange(4000) / 8000)).astype("<i2")
    with wave.open(str(file), "wb") as recording:
        recording.setparams((1, 2, 8000, 0, "NONE", ""))
        recording.writeframes(tone.tobytes())


def write_pyramid(file: Path, height: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    corners = f"0 0 0\n1 0 0\n1 1 0\n0 1 0\n0.5 0.5 {height}\n"
    file.write_text(f"OFF\n5 6 0\n{corners}3 0 2 1\n3 0 3 2\n3 0 1 4\n3 1 2 4\n3 2 3 4\n3 3 0 4\n")


def write_easy_vqa(root: Path) -> None:
    for split, images in (("train", 16), ("test", 8)):
        questions = []
        for number in range(images):
            color, shape = ("red", "blue")[number % 2], ("circle", "triangle")[number // 2 % 2]
            write_image(root / split / "images" / f"{number}.png", color)
            questions += [[f"what is the {color} shape?", shape, number], ["is there a rectangle?", "no", number]]
        (root / split / "questions.json").write_text(json.dumps(questions))
    (root / "answers.txt").write_text("no\ncircle\ntriangle\n")
