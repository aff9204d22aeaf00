"""Models as graphs: compiled as a whole, exported with dynamic sizes, and run by ONNX Runtime and AOTInductor."""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from itnet_core import Encoder, Field, IntegralOperator, ITNetModel, LocalEvaluator, MLPKernel
from itnet_core.operator import neighbourhoods
from itnet_core.operator import opaque as opaque_nodes
from itnet_registry import Registry, create_model
from itnet_train.commands.export import export_program, onnx_program

KERNELS = [
    part.id.partition("/")[2]
    for part in Registry().components("kernel")
    if part.source.distribution != "itnet-graph"  # they refuse points without edges
]
OPTIONS: dict[str, dict[str, Any]] = {
    "product": {"kernels": ["mlp", "mlp"]},
    "scaled": {"kernel": "mlp"},
    "sum": {"kernels": ["attention", "mlp"]},
}
WINDOW = {"name": "mlp", "support": {"window": 0.5}}
ADDITIVE = {"name": "mlp", "inputs": ["query", "key", "displacement"]}
EVALUATORS: dict[str, dict[str, Any]] = {
    "auto": WINDOW,
    "chebyshev": {**ADDITIVE, "activation": "silu"},
    "dense": WINDOW,
    "local": WINDOW,
    "native": WINDOW,
    "sorted": ADDITIVE,
    "tiled": WINDOW,
}
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
    "s4": "its table ends at the largest lag, a number",
}


def model_of(encoder: str, kernel: str | dict[str, Any], **options: Any) -> tuple[ITNetModel, Encoder]:
    """Build a small model in evaluation mode, and return it with its encoder."""
    torch.manual_seed(0)
    kernel = {"name": kernel, **OPTIONS.get(kernel, {})} if isinstance(kernel, str) else kernel
    options = {"width": 16, "kernel": kernel, **({} if "trunk" in options else {"depth": 1}), **options}
    model = create_model(
        encoder={"name": encoder, **ENCODERS[encoder]}, head={"name": "classify", "classes": 3}, **options
    ).eval()
    [part] = model.encoders.values()
    assert isinstance(part, Encoder)
    return model, part


def pyramid() -> tuple[ITNetModel, Encoder]:
    """Build a pyramid: blocks with windows and batch norm, and coarser query points."""
    torch.manual_seed(0)
    head = {"name": "classify", "classes": 3}
    model = create_model("itnet-pyramid-nano", encoder={"name": "patch", "patch_size": 2}, head=head).eval()
    [part] = model.encoders.values()
    assert isinstance(part, Encoder)
    return model, part


def batches(encoder: Encoder) -> list[Any]:
    """Return batches of tensors of several sizes."""
    batch = encoder.tensors(encoder.example())
    if isinstance(batch, Tensor):
        return [batch, torch.randn(3, 3, 37, 28)]
    return [batch, tree_map_only(Tensor, lambda tensor: tensor.repeat(2, *[1] * (tensor.ndim - 1)), batch)]


def check_compiled(model: ITNetModel, part: Encoder, backend: str = "aot_eager") -> None:
    torch.compiler.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    for batch in batches(part)[:2]:
        torch.testing.assert_close(compiled(batch), model(batch), rtol=1e-4, atol=1e-5)
    parameters = dict(model.named_parameters())
    gradients, expected = (
        torch.autograd.grad(function(batch).sum(), [*parameters.values()], materialize_grads=True)
        for function in (compiled, model)
    )
    for name, ours, theirs in zip(parameters, gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * (1 + float(theirs.abs().max())), msg=name)


def check_onnx(model: ITNetModel, part: Encoder, path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    onnx_program(*export_program(model)).save(path)
    session = runtime.InferenceSession(path)
    for batch in batches(part):
        names = [given.name for given in session.get_inputs()]
        inputs = dict(zip(names, (leaf.numpy() for leaf in tree_leaves(batch)), strict=True))
        [prediction] = session.run(None, inputs)
        torch.testing.assert_close(torch.from_numpy(prediction), model(batch).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("encoder", "kernel"), [("patch", "attention"), ("token", "mamba2")])
def test_a_model_compiles_as_one_graph_for_any_size(encoder: str, kernel: str) -> None:
    check_compiled(*model_of(encoder, kernel))


def opaque(**options: Any) -> ITNetModel:
    """Build a model whose operators are one node each."""
    return model_of("patch", {"name": "mlp", "heads": 2, "hidden": 8}, evaluator="tiled", **options)[0]


def test_a_node_of_a_graph_is_an_operator_of_pytorch() -> None:
    [operator] = [module for module in opaque().modules() if isinstance(module, IntegralOperator)]
    field = Field.on_grid(torch.randn(2, 3, 3, 16, requires_grad=True), axes="yx")
    parameters = [parameter for _, parameter in operator.named_parameters(remove_duplicate=False)]
    tensors = [*opaque_nodes._tensors(field), *parameters]
    differentiable = [tensor.requires_grad for tensor in tensors]
    arguments: Any = tensors, differentiable, operator._number, 1, 16, None, []
    # Tracing is left out: it would compare the tokens of two calls.
    checks = "test_schema", "test_autograd_registration", "test_faketensor"
    torch.library.opcheck(torch.ops.itnet.apply.default, arguments, test_utils=checks)


def test_a_compiled_model_runs_several_times_before_the_backward_pass() -> None:
    model = opaque(depth=2)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    batch, parameters = torch.randn(2, 3, 16, 16), [*model.parameters()]
    gradients = [
        torch.autograd.grad((function(batch) + function(2 * batch)).square().sum(), parameters)
        for function in (compiled, model)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_complex_numbers_come_out_right_in_a_node() -> None:
    check_compiled(*model_of("token", {"name": "s4", "state": 4}))


def test_no_graph_is_kept_after_its_use() -> None:
    compiled = torch.compile(opaque(), backend="aot_eager", fullgraph=True)
    prediction = compiled(torch.randn(2, 3, 16, 16))
    assert opaque_nodes._recorded
    del prediction  # without a backward pass
    gc.collect()
    assert not opaque_nodes._recorded


def test_a_node_searches_for_near_points_again_only_if_they_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Mock(wraps=neighbourhoods._of_points)
    monkeypatch.setattr(neighbourhoods, "_of_points", search)
    kernel = MLPKernel(4, heads=2, hidden=8, position_dim=2, support={"radius": 0.3})
    operator = IntegralOperator(4, kernel, evaluator=LocalEvaluator())
    torch.compiler.reset()
    compiled = torch.compile(operator, backend="aot_eager", fullgraph=True)
    field = Field(torch.randn(2, 20, 4), torch.rand(2, 20, 2))
    moved = field.replace(positions=field.positions / 2)
    lighter = moved.replace(weights=torch.rand(2, 20))
    smaller = Field(torch.randn(1, 20, 4), moved.positions[:1], lighter.weights[:1])
    differentiated = smaller.replace(positions=smaller.positions.clone().requires_grad_())
    counts = []
    for item in (field, field.map(torch.sin), moved, lighter, smaller, smaller, differentiated, differentiated, moved):
        search.reset_mock()
        out = compiled(item).values
        counts.append(search.call_count)
        torch.testing.assert_close(out, operator(item).values, rtol=1e-4, atol=1e-5)
    assert counts == [1, 0, 1, 1, 1, 0, 1, 1, 1]


def test_a_copy_of_a_model_compiles_with_its_own_operators() -> None:
    model = opaque()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    batch = torch.randn(2, 3, 16, 16)
    for item in (model, twin):
        compiled = torch.compile(item, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(batch), item(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["gru", "mamba", WINDOW])
def test_the_default_compiler_takes_nodes(kernel: str | dict[str, Any]) -> None:
    with torch._dynamo.config.patch(allow_rnn=True):
        check_compiled(*model_of("patch", kernel, evaluator="auto", depth=2), backend="inductor")


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_compiles_as_one_graph(kernel: str) -> None:
    with torch._dynamo.config.patch(allow_rnn=True):
        check_compiled(*model_of("patch", kernel))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_compiles_as_one_graph(encoder: str) -> None:
    check_compiled(*model_of(encoder, "mlp"))


@pytest.mark.slow
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_every_evaluator_compiles_as_one_graph(evaluator: str) -> None:
    check_compiled(*model_of("patch", EVALUATORS[evaluator], evaluator=evaluator))


@pytest.mark.slow
def test_a_pyramid_compiles_as_one_graph() -> None:
    check_compiled(*pyramid())


@pytest.mark.slow
def test_an_exported_model_takes_other_sizes(tmp_path: Path) -> None:
    model, part = model_of("patch", "mlp")
    torch.export.save(export_program(model)[0], tmp_path / "model.pt2")
    exported = torch.export.load(tmp_path / "model.pt2").module()
    for batch in batches(part):
        torch.testing.assert_close(exported(batch), model(batch))


def test_an_exported_model_takes_the_size_that_its_patches_refer_to() -> None:
    encoder = {"name": "patch", "patch_size": 4, "image_size": 8}
    head = {"name": "classify", "classes": 3}
    model = create_model(encoder=encoder, head=head, kernel="convolution", width=16, depth=1).eval()
    exported = export_program(model)[0].module()
    for height, width in ((8, 8), (8, 6), (20, 24)):
        batch = torch.randn(2, 3, height, width)
        torch.testing.assert_close(exported(batch), model(batch))


TRUNKS: dict[str, list[dict[str, Any]]] = {
    "latents": [{"query": {"latents": 6}}, {"query": {"block": "encoder"}}],
    "stride": [{"query": {"stride": 2}}, {"query": {"block": "encoder"}}],
    "grid": [{"query": {"grid": 2}}],
    "farthest": [{"query": {"farthest": 5}}],
    "neighbours": [{"sampler": {"name": "neighbours", "count": 4}}],
    "landmarks": [{"sampler": {"name": "landmarks", "count": 4}}],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "latents" else pytest.mark.slow) for name in TRUNKS]
)
def test_an_exported_trunk_takes_other_sizes(name: str) -> None:
    model, part = model_of("patch", {"name": "mlp", "heads": 2, "hidden": 8}, trunk=TRUNKS[name])
    exported = export_program(model)[0].module()
    for batch in batches(part):
        torch.testing.assert_close(exported(batch), model(batch))


def test_onnx_runtime_gives_the_same_for_any_size(tmp_path: Path) -> None:
    check_onnx(*model_of("patch", "convolution"), tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS if kernel not in NOT_IN_ONNX])
def test_onnx_runtime_runs_every_kernel(kernel: str, tmp_path: Path) -> None:
    check_onnx(*model_of("patch", kernel), tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [encoder for encoder in ENCODERS if encoder not in NOT_IN_ONNX])
def test_onnx_runtime_runs_every_encoder(encoder: str, tmp_path: Path) -> None:
    check_onnx(*model_of(encoder, "mlp"), tmp_path / "model.onnx")


@pytest.mark.slow
def test_onnx_runtime_runs_a_pyramid(tmp_path: Path) -> None:
    check_onnx(*pyramid(), tmp_path / "model.onnx")


@pytest.mark.slow
def test_aot_inductor_gives_the_same_for_any_size(tmp_path: Path) -> None:
    model, part = model_of("patch", "attention")
    package = torch._inductor.aoti_compile_and_package(
        export_program(model)[0], package_path=str(tmp_path / "model.pt2")
    )
    compiled = torch._inductor.aoti_load_package(package)
    for batch in batches(part):
        torch.testing.assert_close(compiled(batch), model(batch).detach(), rtol=1e-5, atol=1e-5)
