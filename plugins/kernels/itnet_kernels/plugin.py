"""Declarations of the plugin's kernels; imports no torch."""

from __future__ import annotations

from itnet_core import ComponentSpec, hookimpl

KERNELS = (
    ("attention", "attention.attention:AttentionKernel", "attention: softmax of ⟨W_q u(x), W_k u(y)⟩"),
    (
        "continuous-convolution",
        "convolution.continuous_convolution:ContinuousConvolutionKernel",
        "a network of the displacement: CKConv",
    ),
    (
        "convolution",
        "convolution.convolution:ConvolutionKernel",
        "convolution along one, two or three axes; every tap is a head",
    ),
    ("gaussian", "convolution.gaussian:GaussianKernel", "a Gaussian of the distance; every head learns its length"),
    ("gru", "recurrent.gru:GRUKernel", "a GRU's state, with PyTorch's own weights"),
    ("linear-attention", "attention.linear_attention:LinearAttentionKernel", "linear attention: ⟨φ(q), φ(k)⟩"),
    ("low-rank", "low_rank.low_rank:LowRankKernel", "Σ_r a_r(x, u(x)) b_r(y, u(y)), in time linear in the points"),
    ("lstm", "recurrent.lstm:LSTMKernel", "an LSTM's cell state, with PyTorch's own weights"),
    ("mamba", "state_space.mamba:MambaKernel", "Mamba: a selective state space for each channel"),
    ("mamba2", "state_space.mamba2:Mamba2Kernel", "Mamba-2: a state space with one decay for each head, SSD"),
    ("retention", "attention.retention:RetentionKernel", "retention: ⟨q, k⟩ over the past, decaying with time"),
    ("s4", "state_space.s4:S4Kernel", "S4: a diagonal plus low-rank state space for each channel"),
    ("s4d", "state_space.s4d:S4DKernel", "S4D: a diagonal state space for each channel"),
    ("skeleton", "low_rank.skeleton:SkeletonKernel", "skeleton (CUR) factorisation of an MLP kernel at a few pivots"),
)


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the kernels."""
    return [
        ComponentSpec(kind="kernel", name=name, target=f"itnet_kernels.{target}", summary=summary)
        for name, target, summary in KERNELS
    ]
