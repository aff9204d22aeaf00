"""Conversion of PyTorch's and transformers' layers into integral operators."""
