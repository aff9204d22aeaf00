from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, ShapeError
from itnet_registry import CheckpointError, create_model, load_model, save_model
from itnet_text.encoders.token import TokenEncoder


@pytest.fixture(params=["bytes", "window", "tokens"])
def options(request: pytest.FixtureRequest, tokenizer: dict[str, Any]) -> dict[str, Any]:
    return {"bytes": {}, "window": {"window": 5}, "tokens": {"tokenizer": tokenizer, "window": 3}}[request.param]  # type: ignore[return-value]


@pytest.mark.parametrize("text", ["a fine film", ("finely", "played"), "f"], ids=["text", "pair", "short"])
def test_padding_does_not_matter(text: Any, options: dict[str, Any]) -> None:
    encoder = TokenEncoder(8, **options)
    torch.nn.init.normal_(encoder.second)
    alone, batched = encoder([text]), encoder([text, "what a dull film, and so long, and so dull"])
    there = alone.values.shape[1]
    assert batched.values.shape[1] > there
    for name in ("values", "positions", "weights"):
        torch.testing.assert_close(getattr(batched, name)[:1, :there], getattr(alone, name))
    assert not batched.weights[0, there:].any()
    assert not batched.values[0, there:].any()


def test_every_text_weighs_one_and_its_tokens_alike(options: dict[str, Any]) -> None:
    weights = TokenEncoder(8, **options)(["a fine film", "dull", ("what", "a film")]).weights
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert all(len(set(row[row > 0].tolist())) == 1 for row in weights)


def test_a_distance_means_the_same_in_texts_of_any_length() -> None:
    encoder = TokenEncoder(8, tokens_per_unit=4)
    positions = encoder(["abc", "abcdefgh"]).positions
    torch.testing.assert_close(positions[1, :, 0], (torch.arange(8) + 0.5) / 4)
    torch.testing.assert_close(positions[0, :3], positions[1, :3])
    assert not positions[..., 1:].any()


def test_a_window_sees_the_neighbours_alone() -> None:
    encoder = TokenEncoder(8, window=3)
    one, other = encoder(["abcdefg", "abcdefX"]).values
    same = (one == other).all(-1).tolist()
    assert same == [True] * 5 + [False] * 2
    assert (TokenEncoder(8)(["abcdefg", "abcdefX"]).values.diff(dim=0) == 0).all(-1).tolist() == [[True] * 6 + [False]]


def test_a_pair_differs_from_its_text_by_the_second_parts_vector() -> None:
    encoder = TokenEncoder(8)
    pair, text = encoder([("ab", "cd"), "abcd"]).values
    torch.testing.assert_close(pair, text)  # at first: it is learned
    torch.nn.init.normal_(encoder.second)
    pair, text = encoder([("ab", "cd"), "abcd"]).values
    torch.testing.assert_close(pair[:2], text[:2])
    torch.testing.assert_close(pair[2:] - text[2:], encoder.second.expand(2, 8))


def test_longer_texts_are_cut_off(options: dict[str, Any]) -> None:
    encoder = TokenEncoder(8, **{**options, "max_length": 4, "window": 1})
    assert encoder(["a fine film, finely played" * 9, ("dull " * 9, "dull " * 9)]).weights.tolist() == [[0.25] * 4] * 2


def test_vectors_start_small() -> None:
    """Those of rare tokens would stay noise otherwise."""
    assert TokenEncoder(64).embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_gradients_reach_every_parameter(options: dict[str, Any]) -> None:
    encoder = TokenEncoder(8, **options)
    encoder([("a fine film", "finely played")]).values.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_tokens_are_dropped_in_training_alone() -> None:
    encoder = TokenEncoder(8, token_dropout=0.5)
    text = ["a fine film " * 30]
    dropped = (encoder(text).values == 0).all(-1).float().mean().item()
    assert 0.3 < dropped < 0.7
    encoder.eval()
    assert torch.equal(encoder(text).values, encoder(text).values)
    assert not (encoder(text).values == 0).all(-1).any()


def test_a_path_becomes_the_tokenizers_content(tokenizer: dict[str, Any], write: Callable[..., Path]) -> None:
    path = write("tokenizer.json", json.dumps(tokenizer))
    encoder = TokenEncoder(8, tokenizer=str(path))
    path.unlink()
    again = TokenEncoder(8, **json.loads(encoder.config.model_dump_json()))
    assert again.config == encoder.config
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again(["a fine film"]).values, encoder(["a fine film"]).values)


def test_a_config_with_a_path_is_refused(tokenizer: dict[str, Any], write: Callable[..., Path]) -> None:
    config = TokenEncoder.Config(tokenizer=str(write("tokenizer.json", json.dumps(tokenizer))))
    with pytest.raises(ConfigError, match=r"TokenEncoder.tokenizer: .*Call config.completed\(\)"):
        TokenEncoder(8, config)
    assert TokenEncoder(8, config.completed()).config.tokenizer == tokenizer


def test_a_checkpoint_needs_no_tokenizer_file(tokenizer: dict[str, Any], write: Callable[..., Path]) -> None:
    path = write("tokenizer.json", json.dumps(tokenizer))
    encoder = {"name": "token", "tokenizer": str(path), "window": 3}
    model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3}).eval()
    save_model(model, path.parent / "model")
    path.unlink()
    texts = ["a fine film", ("dull", "film")]
    torch.testing.assert_close(load_model(path.parent / "model")(texts), model(texts))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"tokenizer.json: No such file"),
        ("{", r"tokenizer.json: no valid JSON"),
        (b"\xff\xfe", r"tokenizer.json: no valid JSON"),
        ('{"a": 1}', r"tokenizer.json: not the content of a tokenizer.json"),
        ("[1]", r"tokenizer.json: not the content of a tokenizer.json"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_named(content: Any, message: str, write: Callable[..., Path]) -> None:
    path = write("tokenizer.json", content or "")
    if content is None:
        path.unlink()
    with pytest.raises(ConfigError, match=rf"TokenEncoder.tokenizer: .*{message}"):
        TokenEncoder(8, tokenizer=str(path))


@pytest.mark.parametrize(
    "wrong", [{"window": 4}, {"window": 0}, {"max_length": 0}, {"tokens_per_unit": 0}, {"token_dropout": 1}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"TokenEncoder.{next(iter(wrong))}"):
        TokenEncoder(8, **wrong)


@pytest.mark.parametrize("inputs", ["a text", [], [""], [("a", " ")]])
def test_what_is_no_batch_of_texts_is_refused(inputs: Any) -> None:
    with pytest.raises(ShapeError, match=r"TokenEncoder\(inputs\)"):
        TokenEncoder(8)(inputs)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_tokenizer(device: str) -> None:
    with pytest.raises(ConfigError, match="a device, not a regular file; expected a "):
        TokenEncoder(8, tokenizer=device)


def test_a_checkpoint_cannot_have_a_file_read(tokenizer: dict[str, Any], write: Callable[..., Path]) -> None:
    """Not even one that would do."""
    path = write("other.json", json.dumps(tokenizer))
    model = create_model(width=8, depth=1, encoder="token", kernel={"heads": 2}, heads={})
    save_model(model, path.parent / "c")
    manifest = path.parent / "c" / "itnet.json"
    content = json.loads(manifest.read_text())
    content["config"]["encoders"]["text"]["tokenizer"] = str(path)
    manifest.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"encoders\.text: TokenEncoder\.tokenizer: found .*other\.json'"):
        load_model(path.parent / "c")
