"""The evaluator `triton`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from itnet_core import ComponentConfig, ConfigError, Evaluator, Kernel, MLPKernel, Points
from itnet_core.operator.transforms import refuse_transform
from itnet_triton.surroundings import interpreted, missing_gpu, missing_package

FEATURES, HEAD_DIM = 128, 256
INT32 = 2**31


class TritonEvaluator(Evaluator):
    """The exact sums of the paper's kernel (`mlp`) on NVIDIA GPUs, fused into three Triton kernels.

    It takes all inputs and activations, both normalisations, every pair or a causal support, float32, bf16 and fp16,
    with sums in float32, in O(N + M) memory forward and backward; second derivatives are refused. `softmax` keeps a
    running maximum (Dao, "FlashAttention-2", arXiv 2307.08691). A result is the same bit for bit in every run, unless
    the shapes of blocks are tuned.

    On an H100 it was compared with float64 and measured (docs/benchmarks/gpu.md). The tests run its arithmetic in
    Triton's interpreter on a CPU, and compile it for GPUs of compute capability 8.0 and 9.0.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            precision: products of float32 numbers: three products of tf32 (relative errors of about 1e-6), one
                (about 1e-3), or float32's own, off the tensor cores.
            tune: whether the declared shapes of blocks are measured at the first call of a kind, and the fastest kept.
                Sums are then added up in another order where another shape wins.
            interpret: whether tensors on a CPU are taken too, where TRITON_INTERPRET=1: slow, for tests.
        """

        precision: Literal["tf32x3", "tf32", "ieee"] = "tf32x3"
        tune: bool = False
        interpret: bool = False

    rank: ClassVar[int | None] = 200

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._interprets = self.config.interpret and interpreted()
        self._missing = missing_package()

    def missing(self) -> str:
        """Return why Triton is not there, or no GPU that can run the kernels."""
        return missing_package() or ("" if interpreted() else missing_gpu()) or ""

    def evaluates(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """Whether it can do this case: `obstacle` is `None`."""
        return self.obstacle(kernel, query, key, values) is None

    def obstacle(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> str | None:
        """Return why it cannot do this case, or `None` if it can."""
        device = values.device
        if not isinstance(kernel, MLPKernel) or type(kernel).tile is not MLPKernel.tile:
            return f"the kernel {type(kernel).__name__}; expected an MLPKernel, with its own tile"
        if (kernel.support.radius, kernel.support.window) != (None, None) or kernel.support.edge:
            return f"{kernel.support!r}; expected a support of every pair, or a causal one"
        if device.type != "cuda" and not (device.type == "cpu" and self._interprets):
            return f"tensors on {device}; expected an NVIDIA GPU"
        if self._missing is not None:
            return self._missing
        if device.type == "cuda" and (torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] < 8):
            return f"{torch.cuda.get_device_name(device)}; expected an NVIDIA GPU of compute capability 8.0 or later"
        allowed = {torch.float32, torch.bfloat16, torch.float16}
        allowed |= {torch.float64} if device.type == "cpu" else set()
        found = {query.terms.features.dtype, key.terms.features.dtype, values.dtype, kernel.first.weight.dtype}
        if not found <= allowed or (torch.float64 in found and len(found) > 1):
            return f"dtypes {sorted(map(str, found))}; expected float32, bfloat16 or float16"
        if kernel.inputs.width > FEATURES or values.shape[-1] > HEAD_DIM:
            found_sizes = f"{kernel.inputs.width} features of points and values of {values.shape[-1]} channels a head"
            return f"{found_sizes}; expected up to {FEATURES} and {HEAD_DIM}"
        points = max(query.positions.shape[1], key.positions.shape[1])
        if points * max(values[0, 0].numel(), 2 * FEATURES) >= INT32:
            return f"{points} points; expected fewer, as 32 bits number them"
        return None

    def pays(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """From half a block of queries and of keys on; with fewer, as nodes for each query are, a block stays empty."""
        return min(query.positions.shape[1], key.positions.shape[1]) >= 32

    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums; see `Evaluator`.

        Raises:
            ConfigError: it cannot do this case.
            DerivativeError: it is called under `torch.func` or forward-mode differentiation.
        """
        refuse_transform("TritonEvaluator", values)
        obstacle = self.obstacle(kernel, query, key, values)
        if obstacle is not None or not isinstance(kernel, MLPKernel):
            found, _, expected = str(obstacle).partition("; expected ")
            hint = "Use the evaluator 'auto' or 'tiled'."
            raise ConfigError("TritonEvaluator", found=found, expected=expected or "Triton", hint=hint)
        from itnet_triton.operation import mlp_sum

        device = values.device.type
        dtype = torch.promote_types(query.terms.features.dtype, key.terms.features.dtype)
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            values = values.to(dtype)
        weights = key.weights.to(torch.promote_types(dtype, torch.float32))
        if kernel.normalization == "none":
            values, bias = (values * weights[..., None, None]).to(values.dtype), None
        else:
            present = weights > 0
            bias = torch.where(present, torch.where(present, weights, 1.0).log(), -torch.inf)
        times: tuple[Tensor | None, Tensor | None] = None, None
        if kernel.support.causal is not None:
            axis = kernel.support.causal_axis(query.positions.shape[-1])
            times = query.positions[..., axis], key.positions[..., axis]
        out, _ = mlp_sum(
            query.terms.features,
            key.terms.features,
            kernel.inputs(kernel.first.weight, kernel.first.bias),
            query.terms.positions,
            key.terms.positions,
            kernel.second.weight,
            kernel.second.bias,
            values,
            bias,
            *times,
            "displacement" in kernel.config.inputs,
            "distance" in kernel.config.inputs,
            kernel.config.activation,
            dtype,
            self.config.precision,
            self.config.tune,
        )
        return out.to(values.dtype)
