"""Components of `itnet-kernels`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, hookimpl

kernel = partial(ComponentSpec, "kernel")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the kernels, and the encoder of converted layers."""
    return [
        ComponentSpec(
            "encoder",
            "converted",
            "itnet_kernels.conversion.converted_encoder:ConvertedEncoder",
            "another encoder whose layers become integral operators",
            modality="any",
        ),
        kernel(
            "attention",
            "itnet_kernels.attention.attention:AttentionKernel",
            "attention: softmax of ⟨W_q u(x), W_k u(y)⟩",
            citations=("vaswani2017attention", "su2021roformer", "press2021alibi"),
        ),
        kernel(
            "continuous-convolution",
            "itnet_kernels.convolution.continuous_convolution:ContinuousConvolutionKernel",
            "a network of the displacement: CKConv",
            citations=("romero2021ckconv", "sitzmann2020siren"),
        ),
        kernel(
            "convolution",
            "itnet_kernels.convolution.convolution:ConvolutionKernel",
            "convolution along one, two or three axes; every tap is a head",
        ),
        kernel(
            "gaussian",
            "itnet_kernels.convolution.gaussian:GaussianKernel",
            "a Gaussian of the distance; every head learns its length",
        ),
        kernel(
            "gru",
            "itnet_kernels.recurrent.gru:GRUKernel",
            "a GRU's state, with PyTorch's own weights",
            citations=("cho2014gru",),
        ),
        kernel(
            "linear-attention",
            "itnet_kernels.attention.linear_attention:LinearAttentionKernel",
            "linear attention: ⟨φ(q), φ(k)⟩",
            citations=("katharopoulos2020linear",),
        ),
        kernel(
            "low-rank",
            "itnet_kernels.low_rank.low_rank:LowRankKernel",
            "Σ_r a_r(x, u(x)) b_r(y, u(y)), in time linear in the points",
        ),
        kernel(
            "lstm",
            "itnet_kernels.recurrent.lstm:LSTMKernel",
            "an LSTM's cell state, with PyTorch's own weights",
            citations=("hochreiter1997lstm", "sak2014lstm"),
        ),
        kernel(
            "mamba",
            "itnet_kernels.state_space.mamba:MambaKernel",
            "Mamba: a selective state space for each channel",
            citations=("gu2023mamba",),
        ),
        kernel(
            "mamba2",
            "itnet_kernels.state_space.mamba2:Mamba2Kernel",
            "Mamba-2: a state space with one decay for each head, SSD",
            citations=("dao2024mamba2",),
        ),
        kernel(
            "product",
            "itnet_kernels.algebra.product:ProductKernel",
            "the product of kernels; under softmax, their logits add",
        ),
        kernel(
            "retention",
            "itnet_kernels.attention.retention:RetentionKernel",
            "retention: ⟨q, k⟩ over the past, decaying with time",
            citations=("sun2023retnet",),
        ),
        kernel(
            "s4",
            "itnet_kernels.state_space.s4:S4Kernel",
            "S4: a diagonal plus low-rank state space for each channel",
            citations=("gu2021s4",),
        ),
        kernel(
            "s4d",
            "itnet_kernels.state_space.s4d:S4DKernel",
            "S4D: a diagonal state space for each channel",
            citations=("gu2022s4d",),
        ),
        kernel(
            "scaled",
            "itnet_kernels.algebra.scaled:ScaledKernel",
            "a kernel times a learned gate that starts at 0",
            citations=("touvron2021layerscale", "bachlechner2020rezero"),
        ),
        kernel(
            "skeleton",
            "itnet_kernels.low_rank.skeleton:SkeletonKernel",
            "skeleton (CUR) factorisation of an MLP kernel at a few pivots",
        ),
        kernel("sum", "itnet_kernels.algebra.sum:SumKernel", "the sum of integrals, each by its own fast path"),
    ]
