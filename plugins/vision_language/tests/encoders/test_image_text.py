"""What holds for the encoders of images with texts, whichever plugins bring their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, ShapeError, union
from itnet_registry import CheckpointError, UnknownNameError, create_model, load_model, save_model
from itnet_text.tokenizer import train_tokenizer
from itnet_vision_language.encoders.image_pair_text import ImagePairTextEncoder
from itnet_vision_language.encoders.image_text import ImageTextEncoder
from itnet_vision_language.inputs import ImageText

PATCH = {"name": "itnet-image/patch", "patch_size": 4}


def test_it_is_the_union_of_both_fields(inputs: Any) -> None:
    encoder, given = ImageTextEncoder(8, image=PATCH), inputs()
    image, text = encoder.image(given.images), encoder.text(given.texts)
    field = encoder(given)
    expected = union([encoder.part(0, image), encoder.part(1, text)])
    assert torch.equal(field.positions, expected.positions)
    assert torch.equal(field.values, expected.values)
    assert torch.equal(field.weights, expected.weights)
    points = image.values.shape[1]
    torch.testing.assert_close(field.weights[:, :points].sum(1), torch.full((3,), 0.5))
    torch.testing.assert_close(field.values[:, :points], image.values + encoder.part_embedding[0])
    # Images lie on x and y, texts on t.
    assert not field.positions[:, :points, [0, 3]].any()
    assert not field.positions[:, points:, 1:].any()


@pytest.mark.parametrize("measure", ["balanced", "mean", "counting", "given"])
def test_the_measure_is_the_configured_one(inputs: Any, measure: Any) -> None:
    encoder, given = ImageTextEncoder(8, image=PATCH, measure=measure), inputs()
    expected = union([encoder.image(given.images), encoder.text(given.texts)], measure)
    assert torch.equal(encoder(given).weights, expected.weights)


def test_without_the_union_images_come_before_texts(inputs: Any) -> None:
    encoder, given = ImageTextEncoder(8, image=PATCH, union=False), inputs()
    field = encoder(given)
    assert len(field.values) == 6
    for half, part in ((0, encoder.image(given.images)), (1, encoder.text(given.texts))):
        points = part.values.shape[1]
        mine = slice(3 * half, 3 * half + 3)
        torch.testing.assert_close(field.values[mine, :points], part.values + encoder.part_embedding[half])
        assert torch.equal(field.positions[mine, :points], part.positions)
        assert torch.equal(field.weights[mine, :points], part.weights)
        assert not field.weights[mine, points:].any()


def test_two_images_lie_in_two_planes(inputs: Any) -> None:
    encoder, given = ImagePairTextEncoder(8, image=PATCH), inputs(pairs=True)
    field = encoder(given)
    points = 16
    for half, z in ((0, -0.5), (1, 0.5)):
        alone = encoder.image(given.images[:, half])
        mine = slice(points * half, points * half + points)
        torch.testing.assert_close(field.values[:, mine], alone.values + encoder.part_embedding[half])
        torch.testing.assert_close(field.positions[:, mine, :3], alone.positions[..., :3])
        assert (field.positions[:, mine, 3] == z).all()
        torch.testing.assert_close(field.weights[:, mine].sum(1), torch.full((3,), 1 / 3))
    torch.testing.assert_close(field.weights.sum(1), torch.ones(3))


def test_the_model_knows_left_from_right(inputs: Any) -> None:
    model = create_model("itnet-nano", encoder="image-pair-text", head={"name": "classify", "classes": 2}, depth=1)
    given = inputs(pairs=True)
    mirrored = ImageText(given.images.flip(1), given.texts)
    assert not torch.allclose(model(given), model(mirrored), atol=1e-4)


@pytest.mark.parametrize("cls", [ImageTextEncoder, ImagePairTextEncoder])
def test_samples_do_not_see_each_other_and_gradients_reach_everything(cls: Any, inputs: Any) -> None:
    encoder, given = cls(8, image=PATCH), inputs(pairs=cls is ImagePairTextEncoder)
    field = encoder(given)
    alone = encoder(ImageText(given.images[1:2], given.texts[1:2]))  # the longest text
    assert alone.values.shape[1] == field.values.shape[1]
    torch.testing.assert_close(field.values[1:2], alone.values, rtol=1e-4, atol=1e-5)
    field.values.square().sum().backward()
    untouched = {name for name, item in encoder.named_parameters() if item.grad is None or not item.grad.any()}
    assert untouched == {"text.second"}  # of the second of a pair of texts


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(2, 3, 8, 8), "found Tensor; expected images of shape.*ImageText"),
        (ImageText(torch.zeros(2, 3, 8, 8), ["one"]), r"found images of shape \(2, 3, 8, 8\) and 1 texts"),
        (ImageText(torch.zeros(2, 3, 8), ["a", "b"]), r"shape \(2, 3, 8\)"),
        (ImageText(torch.zeros(2, 3, 8, 8), "ab"), "found texts that are str"),
        (ImageText(torch.zeros(2, 1, 8, 8), ["a", "b"]), "channels=1"),
        (ImageText(torch.full((2, 3, 8, 8), torch.nan), ["a", "b"]), "NaN"),
    ],
)
def test_what_is_no_image_with_a_text_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ImageTextEncoder(8, image=PATCH)(given)


def test_one_image_for_two_is_refused(inputs: Any) -> None:
    for images in (torch.zeros(3, 3, 8, 8), torch.zeros(3, 3, 3, 8, 8)):
        with pytest.raises(ShapeError, match=r"expected images of shape \(B, 2, C, H, W\)"):
            ImagePairTextEncoder(8)(ImageText(images, inputs().texts))


@pytest.mark.parametrize(
    ("encoder", "modality", "pairs"),
    [("image-text", "image-text", False), ("image-pair-text", "image-pair-text", True)],
)
def test_a_checkpoint_holds_all_and_knows_the_parts(
    tmp_path: Path, inputs: Any, encoder: str, modality: str, pairs: bool
) -> None:
    model = create_model(
        "itnet-nano",
        encoder={"name": encoder, "image": {"name": "conv-stem", "strides": [2, 2]}},
        head={"name": "classify", "classes": 3},
        depth=1,
    ).eval()
    assert model.config is not None
    parts = model.config["encoders"][modality]
    assert parts["image"]["name"] == "itnet-image/conv-stem"
    assert parts["text"]["name"] == "itnet-text/token"
    save_model(model, tmp_path / "c")
    given = inputs(pairs=pairs)
    assert torch.equal(load_model(tmp_path / "c")(given), model(given))


def test_a_task_says_what_its_images_are(easy_vqa: Path, batch: Any) -> None:
    task = {"name": "easy-vqa", "root": str(easy_vqa), "image_size": 32}
    model = create_model("itnet-nano", encoder="image-text", task=task, depth=1)
    assert model.config is not None
    assert model.config["encoders"]["image-text"]["image"]["image_size"] == 32
    assert model.config["heads"]["image-text"] == {"name": "itnet-core/classify", "classes": 4}


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="model.encoder.image: found itnet-text/token, which is of text"):
        create_model("itnet-nano", encoder={"name": "image-text", "image": "token"}, heads={})
    with pytest.raises(UnknownNameError, match="model.encoder.text: found 'tokn'"):
        create_model("itnet-nano", encoder={"name": "image-text", "text": "tokn"}, heads={})


def test_a_checkpoint_that_hides_a_part_cannot_have_a_file_read_for_it(tmp_path: Path) -> None:
    """The part's own record is what would be checked first; without it the part is still built as a checkpoint's."""
    encoder = {"name": "image-text", "image": PATCH}
    save_model(create_model(width=8, depth=1, encoder=encoder, kernel={"heads": 2}, heads={}), tmp_path / "c")
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}')
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    manifest["config"]["encoders"]["image-text"]["text"]["tokenizer"] = str(tokenizer)
    del manifest["components"]["encoders.image-text.text"]
    (tmp_path / "c" / "itnet.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"tokenizer: found .*tokenizer\.json'"):
        load_model(tmp_path / "c")


def test_completing_a_config_completes_both_encoders(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(train_tokenizer(["is it red?"] * 4, 260).to_str())
    config = ImageTextEncoder.Config(image="patch", text={"name": "token", "tokenizer": str(tmp_path)})  # type: ignore[arg-type]
    complete = config.completed()
    assert complete.image.name == "itnet-image/patch"
    assert complete.image.options["patch_size"] == 16
    assert complete.text.options["tokenizer"]["model"]["type"] == "BPE"
    assert complete.completed() == complete == ImageTextEncoder(8, complete).config


def test_building_completes_no_config(tmp_path: Path) -> None:
    """Not even that of an encoder inside: a checkpoint may name any file."""
    config = ImageTextEncoder.Config(image="patch", text={"name": "token", "tokenizer": str(tmp_path)})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"TokenEncoder.tokenizer: .*Call config.completed\(\)"):
        ImageTextEncoder(8, config)
