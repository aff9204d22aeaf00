"""Models as graphs: compiled as a whole, exported with dynamic sizes, and run by ONNX Runtime and AOTInductor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from itnet_core import Encoder, ITNetModel
from itnet_registry import Registry, create_model
from itnet_train.commands.export import export_program

KERNELS = [part.id.partition("/")[2] for part in Registry().components() if part.kind == "kernel"]
ENCODERS: dict[str, dict[str, Any]] = {
    "patch": {"patch_size": 4},
    "conv-stem": {},
    "token": {},
    "mel": {},
    "waveform": {},
    "point": {},
    "local-group": {"centres": 8, "neighbours": 4},
    "field": {"channels": 3},
}
NOT_IN_ONNX = {
    "gru": "not tried",
    "local-group": "distances by torch.cdist",
    "lstm": "not tried",
    "mel": "not tried",
    "s4": "its table ends at the largest lag, a number",
    "s4d": "it fails",
}


def model_of(encoder: str, kernel: str, depth: int = 1) -> tuple[ITNetModel, Encoder]:
    """Build a small model in evaluation mode, and return it with its encoder."""
    torch.manual_seed(0)
    model = create_model(
        width=16,
        depth=depth,
        encoder={"name": encoder, **ENCODERS[encoder]},
        kernel=kernel,
        head={"name": "classify", "classes": 3},
    ).eval()
    [part] = model.encoders.values()
    assert isinstance(part, Encoder)
    return model, part


def batches(encoder: Encoder) -> list[Any]:
    """Return batches of tensors of several sizes."""
    batch = encoder.tensors(encoder.example())
    if isinstance(batch, Tensor):
        return [batch, torch.randn(3, 3, 37, 28)]
    return [batch, tree_map_only(Tensor, lambda tensor: tensor.repeat(2, *[1] * (tensor.ndim - 1)), batch)]


def check_compiled(encoder: str, kernel: str) -> None:
    model, part = model_of(encoder, kernel)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for batch in batches(part)[:2]:
        torch.testing.assert_close(compiled(batch), model(batch), rtol=1e-4, atol=1e-5)
    [gradient] = torch.autograd.grad(compiled(batch).sum(), [model.trunk.norm.weight])
    [expected] = torch.autograd.grad(model(batch).sum(), [model.trunk.norm.weight])
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def check_onnx(encoder: str, kernel: str, path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model, part = model_of(encoder, kernel)
    program = torch.onnx.export(export_program(model)[0], dynamo=True, verbose=False)
    assert program is not None
    program.save(path)
    session = runtime.InferenceSession(path)
    for batch in batches(part):
        names = [given.name for given in session.get_inputs()]
        inputs = dict(zip(names, (leaf.numpy() for leaf in tree_leaves(batch)), strict=True))
        [prediction] = session.run(None, inputs)
        torch.testing.assert_close(torch.from_numpy(prediction), model(batch).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("encoder", "kernel"), [("patch", "attention"), ("token", "mamba2")])
def test_a_model_compiles_as_one_graph_for_any_size(encoder: str, kernel: str) -> None:
    check_compiled(encoder, kernel)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_compiles_as_one_graph(kernel: str) -> None:
    with torch._dynamo.config.patch(allow_rnn=True):
        check_compiled("patch", kernel)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_compiles_as_one_graph(encoder: str) -> None:
    check_compiled(encoder, "mlp")


def test_an_exported_model_takes_other_sizes(tmp_path: Path) -> None:
    model, part = model_of("patch", "mlp")
    torch.export.save(export_program(model)[0], tmp_path / "model.pt2")
    exported = torch.export.load(tmp_path / "model.pt2").module()
    for batch in batches(part):
        torch.testing.assert_close(exported(batch), model(batch))


def test_onnx_runtime_gives_the_same_for_any_size(tmp_path: Path) -> None:
    check_onnx("patch", "convolution", tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS if kernel not in NOT_IN_ONNX])
def test_onnx_runtime_runs_every_kernel(kernel: str, tmp_path: Path) -> None:
    check_onnx("patch", kernel, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [encoder for encoder in ENCODERS if encoder not in NOT_IN_ONNX])
def test_onnx_runtime_runs_every_encoder(encoder: str, tmp_path: Path) -> None:
    check_onnx(encoder, "mlp", tmp_path / "model.onnx")


@pytest.mark.slow
def test_aot_inductor_gives_the_same_for_any_size(tmp_path: Path) -> None:
    model, part = model_of("patch", "attention")
    package = torch._inductor.aoti_compile_and_package(
        export_program(model)[0], package_path=str(tmp_path / "model.pt2")
    )
    compiled = torch._inductor.aoti_load_package(package)
    for batch in batches(part):
        torch.testing.assert_close(compiled(batch), model(batch).detach(), rtol=1e-5, atol=1e-5)
