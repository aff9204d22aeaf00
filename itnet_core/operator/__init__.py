"""The integral operator and what it is made of: fields, kernels, supports, samplers and evaluators."""
