"""Special cases of ITNet's integral operator as kernels, each with its fast algorithm.

`convert` and `convert_model` turn PyTorch's and transformers' layers into integral operators, `factorize` and
`factorize_model` trained MLP kernels into kernels of low rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core import lazy_exports

if TYPE_CHECKING:
    from itnet_kernels.algebra.product import ProductKernel as ProductKernel
    from itnet_kernels.algebra.scaled import ScaledKernel as ScaledKernel
    from itnet_kernels.algebra.sum import SumKernel as SumKernel
    from itnet_kernels.algebra.unlock import unlock as unlock
    from itnet_kernels.attention.attention import AttentionKernel as AttentionKernel
    from itnet_kernels.attention.linear_attention import LinearAttentionKernel as LinearAttentionKernel
    from itnet_kernels.attention.retention import RetentionKernel as RetentionKernel
    from itnet_kernels.causal import CausalKernel as CausalKernel
    from itnet_kernels.conversion.convert import ConversionReport as ConversionReport
    from itnet_kernels.conversion.convert import convert as convert
    from itnet_kernels.conversion.convert import convert_model as convert_model
    from itnet_kernels.convolution.continuous_convolution import (
        ContinuousConvolutionKernel as ContinuousConvolutionKernel,
    )
    from itnet_kernels.convolution.convolution import ConvolutionKernel as ConvolutionKernel
    from itnet_kernels.convolution.gaussian import GaussianKernel as GaussianKernel
    from itnet_kernels.errors import ConversionError as ConversionError
    from itnet_kernels.errors import FactorizationError as FactorizationError
    from itnet_kernels.low_rank.factorization import Factorization as Factorization
    from itnet_kernels.low_rank.factorization import factorize as factorize
    from itnet_kernels.low_rank.low_rank import LowRankKernel as LowRankKernel
    from itnet_kernels.low_rank.model_factorization import FactorizationReport as FactorizationReport
    from itnet_kernels.low_rank.model_factorization import factorize_model as factorize_model
    from itnet_kernels.low_rank.skeleton import SkeletonKernel as SkeletonKernel
    from itnet_kernels.recurrent.gru import GRUKernel as GRUKernel
    from itnet_kernels.recurrent.layers import GRU as GRU
    from itnet_kernels.recurrent.layers import LSTM as LSTM
    from itnet_kernels.recurrent.lstm import LSTMKernel as LSTMKernel
    from itnet_kernels.state_space.mamba import MambaKernel as MambaKernel
    from itnet_kernels.state_space.mamba2 import Mamba2Kernel as Mamba2Kernel
    from itnet_kernels.state_space.mixers import Mamba2Mixer as Mamba2Mixer
    from itnet_kernels.state_space.mixers import MambaMixer as MambaMixer
    from itnet_kernels.state_space.s4 import S4Kernel as S4Kernel
    from itnet_kernels.state_space.s4d import S4DKernel as S4DKernel

__version__ = "0.1.0"

__all__, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_kernels.algebra.product": "ProductKernel",
        "itnet_kernels.algebra.scaled": "ScaledKernel",
        "itnet_kernels.algebra.sum": "SumKernel",
        "itnet_kernels.algebra.unlock": "unlock",
        "itnet_kernels.attention.attention": "AttentionKernel",
        "itnet_kernels.attention.linear_attention": "LinearAttentionKernel",
        "itnet_kernels.attention.retention": "RetentionKernel",
        "itnet_kernels.causal": "CausalKernel",
        "itnet_kernels.conversion.convert": "ConversionReport convert convert_model",
        "itnet_kernels.convolution.continuous_convolution": "ContinuousConvolutionKernel",
        "itnet_kernels.convolution.convolution": "ConvolutionKernel",
        "itnet_kernels.convolution.gaussian": "GaussianKernel",
        "itnet_kernels.errors": "ConversionError FactorizationError",
        "itnet_kernels.low_rank.factorization": "Factorization factorize",
        "itnet_kernels.low_rank.low_rank": "LowRankKernel",
        "itnet_kernels.low_rank.model_factorization": "FactorizationReport factorize_model",
        "itnet_kernels.low_rank.skeleton": "SkeletonKernel",
        "itnet_kernels.recurrent.gru": "GRUKernel",
        "itnet_kernels.recurrent.layers": "GRU LSTM",
        "itnet_kernels.recurrent.lstm": "LSTMKernel",
        "itnet_kernels.state_space.mamba": "MambaKernel",
        "itnet_kernels.state_space.mamba2": "Mamba2Kernel",
        "itnet_kernels.state_space.mixers": "Mamba2Mixer MambaMixer",
        "itnet_kernels.state_space.s4": "S4Kernel",
        "itnet_kernels.state_space.s4d": "S4DKernel",
    },
)
