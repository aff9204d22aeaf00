"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core import ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the kernels."""
    return [
        _spec("attention", "attention:AttentionKernel", "attention: softmax of ⟨W_q u(x), W_k u(y)⟩"),
        _spec(
            "continuous-convolution",
            "continuous_convolution:ContinuousConvolutionKernel",
            "a network of displacements: CKConv",
        ),
        _spec("convolution", "convolution:ConvolutionKernel", "convolution along one, two or three axes, a head a tap"),
        _spec("cross", "cross:CrossKernel", "an MLP kernel by its values at a few pivots, linear in the points"),
        _spec("gaussian", "gaussian:GaussianKernel", "a Gaussian of the distance, of a learned length for each head"),
        _spec("gru", "gru:GRUKernel", "a GRU's state, with torch's own weights"),
        _spec("linear-attention", "linear_attention:LinearAttentionKernel", "linear attention: ⟨φ(q), φ(k)⟩"),
        _spec("low-rank", "low_rank:LowRankKernel", "Σ_r a_r(x, u(x)) b_r(y, u(y)), in time linear in the points"),
        _spec("lstm", "lstm:LSTMKernel", "an LSTM's cell state, with torch's own weights"),
        _spec("mamba", "mamba:MambaKernel", "Mamba's selective state space for each channel"),
        _spec("mamba2", "mamba2:Mamba2Kernel", "Mamba-2's state space with one decay for each head, SSD"),
        _spec("retention", "retention:RetentionKernel", "retention: ⟨q, k⟩ over the past, decaying with time"),
        _spec("s4", "s4:S4Kernel", "S4: a diagonal plus low-rank state space for each channel"),
        _spec("s4d", "s4d:S4DKernel", "S4D: a diagonal state space for each channel"),
    ]


def _spec(name: str, target: str, summary: str) -> ComponentSpec:
    return ComponentSpec(kind="kernel", name=name, target=f"itnet_kernels.{target}", summary=summary)
