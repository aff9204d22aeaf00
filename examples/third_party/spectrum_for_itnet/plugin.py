"""Declarations of the plugin. Imports no torch, so that `itnet list` is fast."""

from __future__ import annotations

from itnet_core import ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoder and the kernel."""
    return [
        ComponentSpec(
            kind="encoder",
            name="spectrum",
            target="spectrum_for_itnet.encoder:SpectrumEncoder",
            summary="short-time spectra of 1-D signals",
            modality="signal",
        ),
        ComponentSpec(
            kind="kernel",
            name="harmonic",
            target="spectrum_for_itnet.kernel:HarmonicKernel",
            summary="a learned Fourier series in time, under a Gaussian",
        ),
    ]
