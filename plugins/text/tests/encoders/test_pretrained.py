"""With a tiny model that is written as transformers writes models; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BertConfig, BertModel

from itnet_core import ConfigError, ShapeError
from itnet_registry import create_model, load_model, save_model
from itnet_text.encoders.pretrained import PretrainedEncoder
from itnet_text.texts import Text
from itnet_text.tokenizer import load_tokenizer, tokenize, vocabulary_size
from itnet_train.commands.export import export_program, onnx_program

TEXTS: list[Text] = ["what a dull film", "dull", ("a fine film", "finely played")]


@pytest.fixture
def folder(tokenizer: dict[str, Any], tmp_path: Path) -> Path:
    """A BERT with a tokenizer that adds marks, as its own does."""
    marked = load_tokenizer(tokenizer)
    marked.add_special_tokens(["[CLS]", "[SEP]"])
    marks = [(mark, marked.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    marked.post_processor = TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", marks)
    folder = tmp_path / "bert"
    BertModel(config(marked.get_vocab_size())).save_pretrained(folder)
    marked.save(str(folder / "tokenizer.json"))
    return folder


def config(vocabulary: int, width: int = 16) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )


def loaded(folder: Path, **options: Any) -> PretrainedEncoder:
    encoder = PretrainedEncoder(8, model=str(folder), **options)
    encoder.load_pretrained()
    return encoder


def test_the_field_is_the_models_last_layer_through_the_projection(folder: Path) -> None:
    encoder = loaded(folder)
    model = BertModel.from_pretrained(folder).eval()  # type: ignore[no-untyped-call]
    field = encoder(TEXTS)
    tokens = tokenize(encoder.tokenizer, [("what a dull film",), ("dull",), TEXTS[2]], 32)  # type: ignore[list-item]
    for i, item in enumerate(tokens):
        reference = model(torch.tensor([item.ids]), token_type_ids=torch.tensor([item.segments])).last_hidden_state
        torch.testing.assert_close(field.values[i, : len(item.ids)], encoder.projection(reference)[0])
    assert set(tokens[2].segments) == {0, 1}


def test_input_embeddings_are_the_tokens_vectors_alone(folder: Path) -> None:
    encoder = loaded(folder, embeddings="input")
    [tokens] = tokenize(encoder.tokenizer, [("what a dull film",)], 32)
    vectors = BertModel.from_pretrained(folder).get_input_embeddings()(torch.tensor(tokens.ids))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(encoder(TEXTS[:1]).values[0], encoder.projection(vectors))


@pytest.mark.parametrize("embeddings", ["input", "last"])
def test_padding_does_not_matter(embeddings: str, folder: Path) -> None:
    encoder = PretrainedEncoder(8, model=str(folder), embeddings=embeddings, tokens_per_unit=4)
    batched = encoder(TEXTS)
    torch.testing.assert_close(batched.weights.sum(1), torch.ones(3))
    for i, text in enumerate(TEXTS):
        alone = encoder([text])
        there = alone.values.shape[1]
        for name in ("values", "positions", "weights"):
            torch.testing.assert_close(getattr(batched, name)[i, :there], getattr(alone, name)[0])
        assert not batched.weights[i, there:].any()
    torch.testing.assert_close(batched.positions[0, :2, 0], torch.tensor([0.125, 0.375]))


def test_longer_texts_are_cut_off(folder: Path) -> None:
    assert PretrainedEncoder(8, model=str(folder), max_length=5)(["a dull film " * 99]).values.shape == (1, 5, 8)


def test_a_frozen_model_stays_as_it_is(folder: Path) -> None:
    encoder = PretrainedEncoder(8, model=str(folder)).train()
    assert encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.body.parameters())
    assert not any(module.training for module in encoder.body.modules())
    assert torch.equal(encoder(TEXTS).values, encoder(TEXTS).values)  # without dropout
    encoder(TEXTS).values.square().sum().backward()
    assert {name for name, p in encoder.named_parameters() if p.grad is not None} == {
        "projection.weight",
        "projection.bias",
    }


def test_one_that_is_not_frozen_is_trained(folder: Path) -> None:
    encoder = PretrainedEncoder(8, model=str(folder), frozen=False).train()
    assert encoder.body.training
    encoder(TEXTS).values.square().sum().backward()
    assert encoder.body.get_input_embeddings().weight.grad.abs().sum() > 0
    assert encoder.body.encoder.layer[0].attention.self.query.weight.grad.abs().sum() > 0
    assert not encoder.eval().body.training


def test_a_checkpoint_needs_no_folder(folder: Path, tmp_path: Path) -> None:
    encoder = {"name": "pretrained", "model": str(folder)}
    model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3}).eval()
    expected = model(TEXTS)
    save_model(model, tmp_path / "checkpoint")
    shutil.rmtree(folder)
    torch.testing.assert_close(load_model(tmp_path / "checkpoint")(TEXTS), expected)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_compiles_and_exports_as_one_graph(folder: Path, tmp_path: Path, frozen: bool) -> None:
    encoder = {"name": "pretrained", "model": str(folder), "frozen": frozen}
    model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3}, depth=1).eval()
    part = model.encoders["text"]
    assert isinstance(part, PretrainedEncoder)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    program, names = export_program(model)
    exported = program.module()
    onnx_program(program, names).save(tmp_path / "model.onnx")
    session = pytest.importorskip("onnxruntime").InferenceSession(tmp_path / "model.onnx")
    for texts in (TEXTS, ["a film"]):
        batch = part.tensors(texts)
        expected = model(batch).detach()
        torch.testing.assert_close(compiled(batch).detach(), expected)
        torch.testing.assert_close(exported(*batch).detach(), expected)
        [prediction] = session.run(None, dict(zip(names, (tensor.numpy() for tensor in batch), strict=True)))
        torch.testing.assert_close(torch.from_numpy(prediction), expected, rtol=1e-5, atol=1e-5)


def test_weights_are_random_until_they_are_loaded(folder: Path) -> None:
    encoder, expected = PretrainedEncoder(8, model=str(folder)), BertModel.from_pretrained(folder).state_dict()
    name = "embeddings.word_embeddings.weight"
    assert not torch.equal(encoder.body.state_dict()[name], expected[name])
    encoder.load_pretrained()
    for key, tensor in encoder.body.state_dict().items():
        assert torch.equal(tensor, expected[key]), key


@pytest.mark.parametrize("missing", ["architecture", "tokenizer"])
def test_a_config_that_is_not_complete_is_refused(folder: Path, missing: str) -> None:
    config = PretrainedEncoder(8, model=str(folder)).config
    assert config.completed() is config
    with pytest.raises(ConfigError, match=r"PretrainedEncoder.config: .*Call config.completed\(\)"):
        PretrainedEncoder(8, config.model_copy(update={missing: None}))


def test_a_model_in_half_precision_is_computed_with_in_full(folder: Path) -> None:
    BertModel.from_pretrained(folder).half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    encoder = PretrainedEncoder(8, model=str(folder))
    assert encoder(TEXTS).values.dtype == torch.float32
    shutil.rmtree(folder)
    assert PretrainedEncoder(8, encoder.config)(TEXTS).values.dtype == torch.float32


def test_a_tokenizer_that_is_given_takes_the_place_of_the_models(folder: Path, tokenizer: dict[str, Any]) -> None:
    given = PretrainedEncoder(8, model=str(folder), tokenizer=tokenizer)
    assert given.config.tokenizer == tokenizer
    assert vocabulary_size(PretrainedEncoder(8, model=str(folder)).config.tokenizer) == vocabulary_size(tokenizer) + 2


def test_code_that_comes_with_a_model_is_not_run(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('it ran')\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    assert type(PretrainedEncoder(8, model=str(folder)).body) is BertModel


def pickled(folder: Path) -> None:
    torch.save(BertModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def other_size(folder: Path) -> None:
    BertModel(config(299, width=32)).save_pretrained(folder / "other")
    shutil.copy(folder / "other/model.safetensors", folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (pickled, r"bert: found .*no file named model.safetensors"),
        (other_size, r"bert: found .*; expected a transformers model with its weights"),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), r"bert: found .*header"),
        (lambda f: (f / "config.json").unlink(), r"bert/config.json: .*No such file"),
        (lambda f: (f / "config.json").write_text("{"), r"bert/config.json: Expecting"),
        (lambda f: (f / "config.json").write_text('{"a": 1}'), r"bert: found .*model_type"),
        (lambda f: (f / "config.json").write_text('{"model_type": "nonesuch"}'), r"bert: found .*nonesuch"),
        (lambda f: (f / "tokenizer.json").unlink(), r"bert/tokenizer.json: .*No such file"),
        (lambda f: (f / "tokenizer.json").write_text('{"a": 1}'), r"not the content of a tokenizer.json"),
        (shutil.rmtree, r"bert, which is not a folder; .* download: true"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused(spoil: Callable[[Path], Any], message: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(ConfigError, match=f"PretrainedEncoder.*{message}"):
        loaded(folder)


def test_the_hub_is_asked_only_where_download_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hub(name: str, **options: Any) -> Any:
        asked.append((name, options["use_safetensors"]))
        return BertModel.from_pretrained(folder)

    actual = PretrainedEncoder(8, model=str(folder)).config
    monkeypatch.setattr(
        "itnet_text.encoders.pretrained._from_hub", lambda name: actual.model_dump(include={"architecture"})
    )
    monkeypatch.setattr(AutoModel, "from_pretrained", hub)
    options = {"model": "some/bert", "tokenizer": actual.tokenizer}
    PretrainedEncoder(8, **options, download=True).load_pretrained()
    assert asked == [("some/bert", True)]
    with pytest.raises(ConfigError, match="some/bert, which is not a folder; .* download: true"):
        PretrainedEncoder(8, **options)


def test_a_checkpoint_asks_no_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    actual = PretrainedEncoder(8, model=str(folder)).config
    known = {"architecture": actual.architecture, "tokenizer": actual.tokenizer}
    with monkeypatch.context() as patch:
        patch.setattr(AutoModel, "from_pretrained", lambda name, **options: BertModel.from_pretrained(folder))
        encoder = {"name": "itnet-text/pretrained", "model": "some/bert", "download": True, **known}
        model = create_model(width=8, depth=1, encoder=encoder, kernel={"name": "mlp", "heads": 2}, heads={}).eval()
    save_model(model, tmp_path / "checkpoint")
    monkeypatch.setattr(AutoModel, "from_pretrained", lambda *names, **options: pytest.fail("the hub was asked"))
    again = load_model(tmp_path / "checkpoint")
    torch.testing.assert_close(again.features(TEXTS).values, model.features(TEXTS).values, rtol=0, atol=0)


def test_a_bare_string_is_refused(folder: Path) -> None:
    with pytest.raises(ShapeError, match=r"PretrainedEncoder\(inputs\): found str"):
        PretrainedEncoder(8, model=str(folder))("a text")
