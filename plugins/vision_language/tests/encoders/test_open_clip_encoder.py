from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from itnet_core import ConfigError, DataError, ShapeError
from itnet_registry import create_model, load_model, save_model
from itnet_vision_language.encoders.open_clip_encoder import OpenCLIPEncoder
from itnet_vision_language.inputs import ImageText

Make = Callable[..., OpenCLIPEncoder]


@pytest.fixture
def make(tiny_clip: dict[str, Any]) -> Make:
    """Return how to build an encoder around the tiny model."""

    def build(**options: Any) -> OpenCLIPEncoder:
        return OpenCLIPEncoder(8, **{"architecture": "tiny", "definition": tiny_clip, **options})

    return build


@pytest.fixture
def load(make: Make) -> Make:
    """Return how to build the encoder and load the weights that it names."""

    def build(**options: Any) -> OpenCLIPEncoder:
        encoder = make(**options)
        encoder.load_pretrained()
        return encoder

    return build


@pytest.fixture
def weights(make: Make, tmp_path: Path) -> Path:
    """Write weights of the tiny model."""
    path = tmp_path / "tiny.safetensors"
    save_file(make().model.state_dict(), path)
    return path


def test_a_field_of_both_towers_tokens(make: Make, inputs: Any) -> None:
    field = make()(inputs())
    patches, tokens = 16, 16
    assert field.values.shape == (3, patches + tokens, 8)
    assert field.positions[:, :patches, 1:3].unique().tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert not field.positions[:, :patches, [0, 3]].any()
    torch.testing.assert_close(field.positions[0, patches:, 0], (torch.arange(16.0) + 0.5) / 8)
    torch.testing.assert_close(field.weights[:, :patches].sum(1), torch.full((3,), 0.5))
    # A start, four tokens of "is it red?" and an end; "no" has three in all.
    lengths = (field.weights[:, patches:] > 0).sum(1)
    assert lengths[0] == 6
    assert lengths[2] == 3


def test_without_the_union_images_come_before_texts(make: Make, inputs: Any) -> None:
    encoder = make(union=False)
    field = encoder(inputs())
    assert field.values.shape == (6, 16, 8)
    assert (field.weights > 0).sum(1).tolist()[:4] == [16, 16, 16, 6]


def test_tokens_are_the_towers_own(make: Make, inputs: Any) -> None:
    """Pooled as open_clip does, they give its features."""
    encoder, given = make(), inputs(side=32)
    model: Any = encoder.model
    seen: list[torch.Tensor] = []
    hook = encoder.project_text.register_forward_pre_hook(lambda _, tokens: seen.append(tokens[0]))
    encoder(given)
    hook.remove()
    ids = encoder.tokenizer(list(given.texts))
    last = seen[0][torch.arange(3), ids.argmax(-1)] @ model.text_projection
    torch.testing.assert_close(last, model.encode_text(ids))


def test_exclamation_marks_are_no_padding(make: Make) -> None:
    """Their token is 0, which is the padding's too."""
    encoder = make()
    _, mask = encoder._tokens(["! !", "a"])
    assert mask.sum(1).tolist() == [4, 3]


def test_images_are_normalised_as_the_weights_expect(make: Make) -> None:
    light = torch.rand(2, 3, 32, 32)

    def normalised(mean: Any, std: Any) -> torch.Tensor:
        return (light - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    texts = ["a", "b"]
    plain = make(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    other = make()
    other.load_state_dict(plain.state_dict())
    given = normalised(other.config.mean, other.config.std)
    torch.testing.assert_close(other(ImageText(given, texts)).values, plain(ImageText(light, texts)).values)
    torch.testing.assert_close(
        plain._prepared(light), normalised(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )


def test_images_are_brought_to_the_towers_size(make: Make) -> None:
    fine = torch.rand(2, 3, 64, 64)
    expected = F.interpolate(fine, (32, 32), mode="bicubic", antialias=True)
    encoder = make()
    torch.testing.assert_close(encoder._prepared(fine), encoder._prepared(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_towers_stay_as_they_are(make: Make, inputs: Any, frozen: bool) -> None:
    encoder = make(frozen=frozen).train()
    assert encoder.model.training is not frozen
    encoder(inputs()).values.square().sum().backward()
    trained = {name.partition(".")[0] for name, p in encoder.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {"project_image", "project_text"} | (set() if frozen else {"model"})


def test_weights_from_a_file(make: Make, load: Make, weights: Path) -> None:
    first, second = load(weights=str(weights)), load(weights=str(weights))
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    name = "token_embedding.weight"
    assert not torch.equal(make().model.state_dict()[name], first.model.state_dict()[name])


def test_a_checkpoint_needs_no_other_file(tiny_clip: Any, weights: Path, tmp_path: Path, inputs: Any) -> None:
    model = create_model(
        "itnet-nano",
        encoder={"name": "open-clip", "architecture": "tiny", "definition": tiny_clip, "weights": str(weights)},
        head={"name": "contrastive", "outputs": 4},
        depth=1,
    ).eval()
    save_model(model, tmp_path / "c")
    weights.unlink()
    loaded = load_model(tmp_path / "c")
    given = inputs()
    assert torch.equal(loaded(given), model(given))


def test_a_file_that_is_missing_is_named(load: Make, inputs: Any, tmp_path: Path) -> None:
    encoder = load(weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(DataError, match="none.safetensors: found no such file; expected the weights of tiny"):
        encoder(inputs())


@pytest.mark.parametrize("name", ["weights.pt", "weights.bin", "laion2b_s34b_b79k"])
def test_weights_that_could_run_code_or_need_the_hub_are_refused(load: Make, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ConfigError, match=r"expected a file ending in .safetensors.*pickles.*download: true"):
        load(weights=str(tmp_path / name))


def test_damaged_and_foreign_weights_are_refused(load: Make, weights: Path) -> None:
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(DataError, match="tiny.safetensors: found a damaged file"):
        load(weights=str(weights))
    save_file({"other": torch.zeros(2)}, weights)
    with pytest.raises(DataError, match="tiny.safetensors: found weights of another model"):
        load(weights=str(weights))


def test_published_weights_that_do_not_exist_are_refused(load: Make) -> None:
    with pytest.raises(ConfigError, match="found 'no_such'; expected a .safetensors file, or one of .*openai"):
        load(architecture="ViT-B-32", weights="no_such", download=True)


def test_published_weights_that_cannot_be_had_are_missed_at_use(
    make: Make, load: Make, inputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when they are loaded: a checkpoint's weights may follow."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    encoder = load(architecture="ViT-B-32", weights="laion2b_s34b_b79k", download=True)
    with pytest.raises(DataError, match="laion2b_s34b_b79k: found a download that failed"):
        encoder(inputs())
    encoder.load_state_dict(make().state_dict())
    assert encoder(inputs()).values.isfinite().all()


def test_a_name_brings_its_definition() -> None:
    config = OpenCLIPEncoder.Config(architecture="ViT-S-32-alt")
    with pytest.raises(ConfigError, match=r"OpenCLIPEncoder.definition: .*Call config.completed\(\)"):
        OpenCLIPEncoder(8, config)
    assert config.completed().definition == open_clip.get_model_config("ViT-S-32-alt")
    with pytest.raises(ConfigError, match="found 'ViT-S-33'; expected one of .* models.*Did you mean"):
        OpenCLIPEncoder(8, architecture="ViT-S-33")


def test_a_definition_that_is_none_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match="OpenCLIPEncoder.definition: found a definition that open_clip cannot build"):
        make(definition={"embed_dim": 4, "vision_cfg": {"layers": 1}, "text_cfg": {"heads": 0, "layers": 1}})


def test_a_text_tower_of_the_hub_needs_permission(make: Make, tiny_clip: dict[str, Any]) -> None:
    text = {"hf_model_name": "roberta-base", "hf_tokenizer_name": "roberta-base"}
    with pytest.raises(ConfigError, match="false, and a text tower that needs the hub's roberta-base"):
        make(definition={**tiny_clip, "text_cfg": text})


@pytest.mark.parametrize(
    "change",
    [
        {"vision_cfg": {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "", "image_size": 224}},
        {"vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}},
        {"custom_text": True},
        {"custom_text": True, "text_cfg": {"embed_cls": True}},
    ],
    ids=["timm", "resnet", "custom-text", "class-token"],
)
def test_towers_of_other_kinds(make: Make, tiny_clip: dict[str, Any], inputs: Any, change: dict[str, Any]) -> None:
    definition = {**tiny_clip, **change}
    if change.get("text_cfg"):
        definition["text_cfg"] = {**tiny_clip["text_cfg"], **change["text_cfg"]}
    field = make(definition=definition, frozen=False)(inputs())
    assert field.values.shape[0] == 3
    assert field.values.isfinite().all()
    torch.testing.assert_close(field.weights.sum(1), torch.ones(3))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 1, 8, 8), r"torch.float32 of shape \(1, 1, 8, 8\); expected a floating tensor"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "torch.uint8"),
        (torch.full((1, 3, 8, 8), torch.inf), "NaN or infinite"),
    ],
)
def test_what_is_no_image_is_refused(make: Make, images: torch.Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        make()(ImageText(images, ["a"]))


def test_a_checkpoint_looks_for_no_published_weights(
    tiny_clip: dict[str, Any], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = {"name": "open-clip", "architecture": "tiny", "definition": tiny_clip, "weights": str(weights)}
    model = create_model(width=8, depth=1, encoder=encoder, kernel={"name": "mlp", "heads": 2}, heads={})
    save_model(model, tmp_path / "checkpoint")
    looked = "itnet_vision_language.encoders.open_clip_encoder.load_weights"
    monkeypatch.setattr(looked, lambda *names, **options: pytest.fail("weights were looked for"))
    again = load_model(tmp_path / "checkpoint")
    for actual, expected in zip(again.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision_cfg": {"timm_model_name": "local-dir:/dev", "image_size": 224}}, "found 'local-dir:/dev'"),
        (
            {"vision_cfg": {"timm_model_name": "hf-hub:timm/resnet18", "image_size": 224}},
            "found 'hf-hub:timm/resnet18'",
        ),
        ({"text_cfg": {"tokenizer_kwargs": {"bpe_path": "/dev/zero"}}}, "found 'bpe_path'"),
        ({"text_cfg": {"tokenizer_kwargs": {"trust_remote_code": True}}}, "found 'trust_remote_code'"),
        ({"text_cfg": {"hf_tokenizer_name": "{folder}"}}, "found '.*fifo'"),
    ],
    ids=["folder", "hub", "vocabulary", "code", "fifo"],
)
def test_a_definition_names_no_file(
    make: Make, tiny_clip: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    parts = {name: {**tiny_clip[name], **part} for name, part in change.items()}
    if "hf_tokenizer_name" in change.get("text_cfg", {}):
        parts["text_cfg"]["hf_tokenizer_name"] = str(tmp_path)
    with pytest.raises(ConfigError, match=f"OpenCLIPEncoder.definition: {message}"):
        make(definition={**tiny_clip, **parts})


@pytest.mark.parametrize("architecture", ["local-dir:{folder}", "hf-hub:timm/clip"])
def test_an_architecture_is_a_name_and_no_place(make: Make, tmp_path: Path, architecture: str) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"architecture: found '(local-dir|hf-hub):"):
        OpenCLIPEncoder(8, architecture=architecture.format(folder=tmp_path))
