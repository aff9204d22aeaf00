from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from itnet_core import Task
from itnet_vision_language.inputs import ImageText

WriteImage = Callable[..., Path]
WriteJSON = Callable[[Path, Any], Path]
Root = Callable[..., Path]


@pytest.fixture
def write_json() -> WriteJSON:
    """Write a JSON file."""

    def write(path: Path, content: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def inputs() -> Callable[..., ImageText]:
    """Return images, in pairs if `pairs`, and texts of different lengths."""

    def make(batch: int = 3, *, pairs: bool = False, side: int = 16) -> ImageText:
        shape = (batch, 2, 3, side, side) if pairs else (batch, 3, side, side)
        texts = ["is it red?", "a blue circle on a grey ground", "no", "what is it?"]
        return ImageText(torch.randn(shape), [texts[i % len(texts)] for i in range(batch)])

    return make


@pytest.fixture
def check_task() -> Callable[[Any, Mapping[str, int], tuple[int, ...]], None]:
    """Check what holds for every task on images with texts: sizes of splits, batches, loss, metrics, records."""

    def check(task: Any, sizes: Mapping[str, int], shape: tuple[int, ...]) -> None:
        assert {split: len(task.dataset(split)) for split in sizes} == sizes
        for split in sizes:
            batch = batch_of(task, split)
            assert batch.inputs.images.shape == (2, *shape)
            assert batch.inputs.images.dtype == torch.float32
            assert batch.inputs.images.std() > 0.1
            assert all(isinstance(text, str) and text for text in batch.inputs.texts)
        assert task.encoder_options["image"] == {"channels": 3, "image_size": shape[-1]}
        assert task.monitor in task.metrics()

    return check


def batch_of(task: Task, split: Any, count: int = 2) -> Any:
    """Return a batch of the first samples of a split."""
    dataset: Dataset[Any] = task.dataset(split)
    return task.collate([dataset[i] for i in range(count)])


@pytest.fixture
def batch() -> Callable[..., Any]:
    return batch_of


@pytest.fixture
def easy_vqa(write_image: WriteImage, write_json: WriteJSON, tmp_path: Path) -> Path:
    """Lay out what the package easy-vqa has in `easy_vqa/data`; return its folder."""
    root = tmp_path / "easy-vqa"
    for split, images in (("train", 10), ("test", 3)):
        questions = []
        for i in range(images):
            write_image(root / split / "images" / f"{i}.png", size=(64, 64))
            questions += [["what color is the shape?", "red", i], ["is there a circle?", "no", i]]
        write_json(root / split / "questions.json", questions)
    (root / "answers.txt").write_text("yes\nno\nred\ncircle\n")
    return root


@pytest.fixture
def easy_vqa_shapes(write_image: WriteImage, write_json: WriteJSON, tmp_path: Path) -> Path:
    """Lay out easy-VQA with two colors, two shapes, and questions that tell both of each image; return the folder."""
    root = tmp_path / "easy-vqa"
    for split, images in (("train", 40), ("test", 12)):
        questions = []
        for i in range(images):
            write_image(root / split / "images" / f"{i}.png", size=(64, 64))
            color, shape = ("red", "blue")[i % 2], ("circle", "triangle")[i // 2 % 2]
            questions += [[f"what is the {color} shape?", shape, i], ["is there a rectangle?", "no", i]]
        write_json(root / split / "questions.json", questions)
    return root


def _vqa_part(root: Path, part: str, images: range, write_image: WriteImage, write_json: WriteJSON) -> None:
    kinds = [("how many dogs?", "2", "how many", "number"), ("is it day?", "yes", "is it", "yes/no")]
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        write_image(root / f"{part}2014" / f"COCO_{part}2014_{image:012}.jpg", size=(30, 20))
        for i, (question, answer, kind, kind_of_answer) in enumerate(kinds):
            number = image * 1000 + i
            given = [answer] * 8 + ["the red one", "Two"]
            questions.append({"image_id": image, "question": question, "question_id": number})
            annotations.append(
                {
                    "question_type": kind,
                    "multiple_choice_answer": answer,
                    "answers": [
                        {"answer": item, "answer_confidence": "yes", "answer_id": j} for j, item in enumerate(given, 1)
                    ],
                    "image_id": image,
                    "answer_type": kind_of_answer,
                    "question_id": number,
                }
            )
    about = {
        "info": {"year": 2017, "version": "2.0", "description": "This is v2.0 of the VQA dataset."},
        "data_type": "mscoco",
        "data_subtype": f"{part}2014",
        "license": {"url": "http://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"},
    }
    write_json(
        root / f"v2_OpenEnded_mscoco_{part}2014_questions.json",
        {**about, "task_type": "Open-Ended", "questions": questions},
    )
    write_json(root / f"v2_mscoco_{part}2014_annotations.json", {**about, "annotations": annotations})


@pytest.fixture
def vqa(write_image: WriteImage, write_json: WriteJSON, tmp_path: Path) -> Path:
    """Lay out VQA v2 as it is published, with two questions about each of 10 and of 3 images; return its folder."""
    root = tmp_path / "vqa"
    _vqa_part(root, "train", range(9, 19), write_image, write_json)
    _vqa_part(root, "val", range(42, 45), write_image, write_json)
    return root


@pytest.fixture
def nlvr2(write_image: WriteImage, tmp_path: Path) -> Path:
    """Lay out NLVR2 as it is published, with two sentences for each of some sets of two pairs; return its folder."""
    root = tmp_path / "nlvr2"
    for split, sets in (("train", 3), ("dev", 1), ("test1", 2)):
        lines = []
        for group in range(sets):
            for pair in range(2):
                folder = root / "images" / split / (str(group + 7) if split == "train" else "")
                for side in range(2):
                    write_image(folder / f"{split}-{group}-{pair}-img{side}.png", size=(20, 20 + 10 * side))
                for sentence in range(2):
                    line: dict[str, Any] = {
                        "validation": {"4": "False"},
                        "sentence": f"The left image shows {sentence + 1} dogs.",
                        "left_url": "https://example.org/left.jpg",
                        "writer": "20",
                        "label": "True" if (pair + sentence) % 2 else "False",
                        "right_url": "https://example.org/right.jpg",
                        "synset": "dog",
                        "query": "dogs",
                        "identifier": f"{split}-{group}-{pair}-{sentence}",
                    }
                    lines.append(json.dumps({**line, "directory": group + 7} if split == "train" else line))
        (root / f"{split}.json").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def karpathy(write_image: WriteImage, write_json: WriteJSON, tmp_path: Path) -> Path:
    """Lay out images with two captions each under Karpathy's splits; return the folder."""
    images = []
    for i, split in enumerate(["train"] * 4 + ["restval"] + ["val"] * 2 + ["test"] * 3):
        write_image(tmp_path / f"{i}.jpg")
        sentences = [{"raw": f"Image {i}, {word}.", "tokens": []} for word in ("once", "twice")]
        images.append({"filename": f"{i}.jpg", "split": split, "sentences": sentences, "imgid": i})
    write_json(tmp_path / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})
    return tmp_path


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Any], None]], None]:
    """Change what a JSON file holds."""

    def change(path: Path, how: Callable[[Any], None]) -> None:
        content = json.loads(path.read_text())
        how(content)
        path.write_text(json.dumps(content))

    return change


@pytest.fixture
def edit_line() -> Callable[..., None]:
    """Change the first line of a JSON lines file."""

    def change(path: Path, **fields: Any) -> None:
        first, *others = path.read_text().splitlines()
        line = {**json.loads(first), **fields}
        line = {name: value for name, value in line.items() if value is not None}
        path.write_text("\n".join([json.dumps(line), *others]))

    return change


@pytest.fixture
def tiny_clip() -> dict[str, Any]:
    """Return open_clip's configuration of a model with towers of one layer of 32 channels."""
    return {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 1},
    }
