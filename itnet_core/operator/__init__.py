"""The integral operator and its parts: fields, kernels, supports, samplers and evaluators."""
