"""Conversion of every architecture of five libraries that can be built small: `python benchmarks/conversions.py`.

Each model has random weights and a small configuration, so nothing is downloaded. It is converted, and its outputs
compared with those before, by fast paths and summed over all pairs. Writes docs/conversion.md (an hour).
"""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from conversion_libraries import (
    DIFFUSERS,
    TORCHAUDIO,
    Candidate,
    Example,
    diffusers_candidates,
    timm_architectures,
    timm_candidates,
    torchaudio_candidates,
    torchvision_architectures,
    torchvision_candidates,
)
from provenance import provenance
from rich.progress import track
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

PAGE = Path(__file__).parents[1] / "docs/conversion.md"
MOST_PARAMETERS = 100_000_000
SECONDS = 90
BOUND = 1e-5
"""Largest difference of outputs, relative to the largest output if that exceeds 1."""
BOUND_DOUBLE = 1e-9
"""The same in double precision, which decides where sums of many terms exceed `BOUND` by rounding."""

FIELDS: Mapping[int, tuple[str, ...]] = {
    32: (
        "hidden_size",
        "d_model",
        "n_embd",
        "embed_dim",
        "embedding_size",
        "dim",
        "emb_dim",
        "embedding_dim",
        "word_embed_proj_dim",
        "projection_dim",
        "intermediate_size",
        "ffn_dim",
        "d_ff",
        "n_inner",
        "encoder_ffn_dim",
        "decoder_ffn_dim",
        "dim_feedforward",
        "moe_intermediate_size",
        "ffn_hidden_size",
    ),
    2: (
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
        "encoder_layers",
        "decoder_layers",
        "depth",
        "num_decoder_layers",
        "num_encoder_layers",
        "num_key_value_heads",
        "num_experts_per_tok",
        "top_k",
    ),
    4: (
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "encoder_attention_heads",
        "decoder_attention_heads",
        "num_experts",
        "num_local_experts",
        "n_routed_experts",
        "sliding_window",
    ),
    8: (
        "head_dim",
        "d_kv",
        "attention_head_size",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "v_head_dim",
        "patch_size",
        "rotary_dim",
    ),
    16: ("q_lora_rank", "kv_lora_rank"),
    64: ("max_position_embeddings", "n_positions", "max_source_positions", "max_target_positions"),
    1: ("n_group", "topk_group"),
    99: ("vocab_size",),
}
SIZES = {name: size for size, names in FIELDS.items() for name in names} | {"image_size": 32}
"""Small values of the fields that configurations share."""

VARIANTS: tuple[Mapping[str, int | None], ...] = (
    {},
    {"num_key_value_heads": 4},
    {"image_size": 64},
    {"head_dim": 16},
    {"embed_dim": None, "patch_size": None, "image_size": None},
    {"hidden_size": 64, "d_model": 64, "num_hidden_layers": 4},
    dict.fromkeys({*SIZES} - {*FIELDS[2], *FIELDS[99]}),
)
"""Changes of `SIZES` that are tried in turn, until a model can be built and called; `None` keeps the default."""


@dataclass(frozen=True)
class Result:
    """What became of an architecture.

    Attributes:
        name: the library's name of it.
        verdict: `whole`, `in part`, `not converted`, `wrong`, `crashed`, or `not tried`.
        layers: the number of converted layers, by class.
        fast: the largest difference of outputs by fast paths.
        pairs: the same, summed over all pairs.
        reason: what was left, or what went wrong.
    """

    name: str
    verdict: str
    layers: str = ""
    fast: float = 0.0
    pairs: float = 0.0
    reason: str = ""


def architectures() -> list[str]:
    """Return the names of transformers' architectures with a base model."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return list(MODEL_MAPPING_NAMES)


def shrink(config: Any, sizes: Mapping[str, int | None]) -> None:
    """Set the fields of a configuration, and of those within it, to small values."""
    from transformers import PretrainedConfig

    for name, value in [*vars(config).items()]:
        if isinstance(value, PretrainedConfig):
            shrink(value, sizes)
        elif sizes.get(name) and isinstance(value, int) and not isinstance(value, bool):
            setattr(config, name, sizes[name])
        elif name.endswith("token_id") and isinstance(value, int):
            setattr(config, name, 1)
        elif name.endswith("layer_types") and value:
            setattr(config, name, [*[value[0]] * ((sizes.get("num_hidden_layers") or 2) - 1), value[-1]])


def build(name: str, sizes: Mapping[str, int | None], everything: bool) -> tuple[Any, Example]:
    """Return a small model with random weights, and inputs.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    config = CONFIG_MAPPING[name]()
    shrink(config, sizes)
    found = MODEL_MAPPING[type(config)]
    cls: Any = found[0] if isinstance(found, tuple) else found
    with torch.device("meta"):
        check_size(cls._from_config(copy.deepcopy(config)))
    model = cls._from_config(config, attn_implementation="eager")
    return model, inputs(model, everything)


def inputs(model: Any, everything: bool) -> dict[str, Tensor]:
    """Return inputs that a model may take: its main one, or all that it names."""
    config, generator = model.config, torch.Generator().manual_seed(0)
    size = getattr(getattr(config, "vision_config", config), "image_size", 32)
    size = size if isinstance(size, int) else 32
    ids = torch.randint(2, 90, (2, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    known = {
        "input_ids": ids,
        "attention_mask": mask,
        "decoder_input_ids": ids[:, :5],
        "pixel_values": torch.randn(2, getattr(config, "num_channels", 3), size, size, generator=generator),
        "input_values": torch.randn(2, 2000, generator=generator),
        "input_features": torch.randn(2, getattr(config, "num_mel_bins", 80), 128, generator=generator),
        "bbox": torch.arange(4).expand(2, 7, 4),
    }
    known["past_values"] = torch.randn(
        2, getattr(config, "context_length", 32), getattr(config, "num_input_channels", 1), generator=generator
    )
    names = [name for name in inspect.signature(model.forward).parameters if name in known]
    main, decoder = model.main_input_name, ["decoder_input_ids"] if config.is_encoder_decoder else []
    sides = [main, *(["attention_mask", "bbox"] if main == "input_ids" else []), *decoder]
    return {name: known[name] for name in names if everything or name in sides}


def transformers_candidates(name: str) -> Iterator[Candidate]:
    """Yield variants of a small model, with inputs."""
    for variant in VARIANTS:
        for everything in (False, True):
            yield partial(build, name, {**SIZES, **variant}, everything)


LIBRARIES: Mapping[str, tuple[Callable[[], list[str]], Callable[[str], Iterator[Candidate]]]] = {
    "transformers": (architectures, transformers_candidates),
    "timm": (timm_architectures, timm_candidates),
    "torchvision": (torchvision_architectures, torchvision_candidates),
    "torchaudio": (lambda: [*TORCHAUDIO], torchaudio_candidates),
    "diffusers": (lambda: [*DIFFUSERS], diffusers_candidates),
}
"""The names of a library's architectures, and the small models and inputs that are tried for one."""


def check_size(model: nn.Module) -> None:
    """Refuse a large model.

    Raises:
        ValueError: it has too many parameters.
    """
    if (count := sum(item.numel() for item in model.parameters())) > MOST_PARAMETERS:
        raise ValueError(f"{count:,} parameters")


@torch.no_grad()
def outputs(model: Any, example: Example) -> list[Tensor]:
    """Return a model's outputs of floating numbers."""
    torch.manual_seed(0)
    found = model(**example) if isinstance(example, dict) else model(*example)
    leaves = tree_leaves(dict(found) if isinstance(found, Mapping) else found)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def prepare(library: str, name: str) -> tuple[Any, Example, list[Tensor]]:
    """Return a small model, inputs that it takes, and its outputs.

    Raises:
        Exception: no small model can be built and called.
    """
    problem: Exception = ValueError("found no inputs")
    for candidate in LIBRARIES[library][1](name):
        torch.manual_seed(0)
        try:
            model, example = candidate()
            check_size(model)
            with torch.no_grad():
                for weight in (item for item in model.parameters() if item.ndim < 3):
                    weight.add_(torch.randn_like(weight), alpha=0.02)  # gates that start at 0 hide what they gate
            if found := outputs(model.eval(), example):
                return model, example, found
        except Exception as error:  # a configuration or inputs that do not fit
            problem = error
    raise problem


def check(library: str, name: str) -> Result:
    """Convert an architecture, and compare its outputs; in double precision too, where they differ in single."""
    try:
        model, example, before = prepare(library, name)
    except Exception as error:  # not ours
        return Result(name, "not tried", reason=f"{type(error).__name__}: {error}")
    try:
        report, fast, pairs = convert(model, example, before)
        equal = max(fast, pairs) <= BOUND
        if not equal:
            model, example, _ = prepare(library, name)
            model.double()
            example = tree_map(double, example)
            equal = max(convert(model, example, outputs(model, example))[1:]) <= BOUND_DOUBLE
    except Exception as error:  # ours: the page names it
        return Result(name, "crashed", reason=f"{type(error).__name__}: {error}")
    layers = ", ".join(f"{count} {layer}" for layer, count in Counter(report.converted.values()).items())
    left = "; ".join(dict.fromkeys(reason.partition(", outside of")[0] for reason in report.left.values()))
    verdict = "in part" if report.left and report.converted else "not converted" if report.left else "whole"
    return Result(name, verdict if equal else "wrong", layers, fast, pairs, left)


def double(item: Any) -> Any:
    """Return floating numbers in double precision."""
    return item.double() if isinstance(item, Tensor) and item.is_floating_point() else item


def convert(model: Any, example: Example, before: list[Tensor]) -> tuple[Any, float, float]:
    """Convert a model; return the report, and the differences of its outputs by fast paths and by pairs."""
    from itnet_core import DenseEvaluator, IntegralOperator
    from itnet_kernels import convert_model

    report = convert_model(model, example=example)
    fast = difference(outputs(model, example), before)
    for module in model.modules():
        if isinstance(module, IntegralOperator):
            module.evaluator = DenseEvaluator()
    return report, fast, difference(outputs(model, example), before)


def difference(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference of outputs, relative to the largest of an output if that exceeds 1."""
    if [item.shape for item in actual] != [item.shape for item in expected]:
        return float("inf")
    pairs = zip(actual, expected, strict=True)
    return max((float((a - e).abs().max() / e.abs().max().clamp(min=1)) for a, e in pairs if e.numel()), default=0.0)


def start() -> None:
    """Prepare a process of one thread; what transformers prints about its own models is dropped."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    torch.set_num_threads(1)


def results(library: str, names: list[str]) -> Iterator[Result]:
    """Yield the result of each architecture, from a process that is replaced when one takes too long or dies."""
    context = multiprocessing.get_context("spawn")
    pool = None
    for name in names:
        pool = pool or context.Pool(1, start)
        try:
            yield pool.apply_async(check, (library, name)).get(timeout=SECONDS)
        except multiprocessing.TimeoutError:
            pool.terminate()
            pool = None
            yield Result(name, "not tried", reason=f"more than {SECONDS} s")
    if pool is not None:
        pool.terminate()


def page(found: Mapping[str, list[Result]]) -> str:
    """Return the page: the results of each library."""
    versions = ", ".join(f"{library} {version(library)}" for library in found)
    lines = [
        "# Coverage of libraries",
        "",
        f"`python benchmarks/conversions.py` on {provenance(threads=1)}, {versions}.",
        "",
        TEXT,
        "",
        f"| number of architectures | {' | '.join(found)} |",
        f"|---|{'---|' * len(found)}",
    ]
    for verdict, words in VERDICTS.items():
        counts = (str(sum(item.verdict == verdict for item in items)) for items in found.values())
        lines.append(f"| {words} | {' | '.join(counts)} |")
    for library, items in found.items():
        lines += ["", f"## {library}", ""]
        for verdict in ("wrong", "crashed", "whole", "in part", "not converted"):
            if of := [item for item in items if item.verdict == verdict]:
                lines += [
                    f"### {VERDICTS[verdict].capitalize()}",
                    "",
                    "| architecture | layers | fast paths | by pairs | left |",
                ]
                lines += ["|---|---|---|---|---|", *map(row, of), ""]
        names = ", ".join(item.name for item in items if item.verdict == "not tried")
        if names:
            lines += ["### Not tried", "", f"The script found no small configuration and inputs of: {names}.", ""]
    return "\n".join(lines).rstrip() + "\n"


TEXT = f"""\
Architectures are built with random weights and small configurations, converted by
[`convert_model`](guides/convert.md), and called again: all that transformers lists with a base model, one for each file
of timm and torchvision, and a choice of torchaudio's and diffusers'. The differences are the largest of all outputs in
float32, relative to the largest output if that exceeds 1: by the kernels' fast paths, and with every operator summed
over all pairs. The bound is {BOUND:g}; where rounding exceeds it, {BOUND_DOUBLE:g} in float64. A model is converted
whole if no function that mixes points runs outside of converted layers."""

VERDICTS = {
    "whole": "converted whole, equal",
    "in part": "converted in part, equal",
    "not converted": "not converted",
    "wrong": "converted, but not equal",
    "crashed": "crashed",
    "not tried": "not tried",
}


def row(item: Result) -> str:
    """Return a row of a table."""
    cells = [
        item.name,
        item.layers,
        f"{item.fast:.1g}",
        f"{item.pairs:.1g}",
        item.reason.replace("|", "/").replace("\n", " "),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Check all architectures, and write the page."""
    found = {}
    for library, (names_of, _) in LIBRARIES.items():
        names = names_of()
        found[library] = list(track(results(library, names), library, total=len(names)))
        print(library, Counter(item.verdict for item in found[library]))
    PAGE.write_text(page(found))


if __name__ == "__main__":
    main()
