"""Checks of components that are modules: weights, dtypes, devices, gradients, compilation, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from itnet_core import map_tensors, move
from itnet_testing.conformance.base import Conformance, skip_unless
from itnet_testing.conformance.tensors import assert_same, call, features, floating, to_float64


class ModuleConformance(Conformance):
    """Base of the test classes for components that are modules.

    Attributes:
        dim: channels of the fields.
    """

    dim: ClassVar[int] = 8

    @abstractmethod
    def module(self, **options: Any) -> nn.Module:
        """Return a new module around the component, to be called with `inputs()`."""

    @abstractmethod
    def inputs(self) -> Any:
        """Return a batch of at least two samples; its floating tensors are float32."""

    def model(self) -> Any:
        """Return a model of one block with the component; it has a head only if the component is one."""
        heads: dict[str, Any] = {} if self.kind == "head" else {"heads": {}}
        return self.small_model(self.dim, **{self.kind: {"name": self.component, **self.settings}}, **heads)

    def build(self, seed: int = 0, **options: Any) -> nn.Module:
        """Return the module in evaluation mode, with weights drawn from a seed."""
        self.settings  # noqa: B018 (the first time it may write data, which draws numbers)
        torch.manual_seed(seed)
        return self.module(**options).eval()

    def check_seeded_initialization(self) -> None:
        """Two modules built from one seed have the same weights."""
        assert_same(
            self.build().state_dict(), self.build().state_dict(), "weights built twice from one seed", exact=True
        )

    def check_state_dict_completeness(self) -> None:
        """The `state_dict` has the same names each time, and alone determines the output."""
        first, second = self.build(0), self.build(1)
        assert list(first.state_dict()) == list(second.state_dict()), "names in the state_dict differ"
        second.load_state_dict(first.state_dict(), strict=True)
        assert_same(
            call(second, self.inputs()), call(first, self.inputs()), "outputs with the same weights", exact=True
        )

    def check_checkpoint_round_trip(self) -> None:
        """A model with the component gives the same output after it is saved and loaded."""
        torch.manual_seed(0)
        model, batch = self.model(), self.inputs()
        path = self.folder / "checkpoint"
        self.registry.save_model(model, path)
        loaded = self.registry.load_model(path)
        assert loaded.config == model.config
        assert_same(features(loaded, batch), features(model.eval(), batch), "outputs of the loaded model", exact=True)

    def check_float64(self) -> None:
        """In float64 the output is float64, and equals that in float32 to float32's precision."""
        module, batch = self.build(), self.inputs()
        expected = call(module, batch)
        actual = call(module.double(), self.map_tensors(batch, to_float64))
        for tensor in floating(actual)[:1]:
            assert tensor.dtype == torch.float64, f"found {tensor.dtype} after .double(); expected float64"
        assert_same(actual, expected, "outputs in float64 and float32", tolerance=1e-3)

    @skip_unless(lambda case: torch.cuda.is_available(), "this machine has no GPU")
    def check_cuda(self) -> None:
        """On a GPU the output is on the GPU, and equals that on the CPU."""
        module, batch = self.build(), self.inputs()
        expected = call(module, batch)
        actual = call(module.cuda(), move(batch, "cuda", self.map_tensors))
        assert all(tensor.is_cuda for tensor in floating(actual)[:1])
        assert_same(move(actual, "cpu"), expected, "outputs on the GPU and the CPU", tolerance=1e-2)

    def check_gradients(self) -> None:
        """In float64, gradients to all weights and floating inputs equal finite differences."""
        module, batch = self.build().double(), self.map_tensors(self.inputs(), to_float64)
        weights = {name: p for name, p in module.named_parameters() if p.requires_grad}
        inputs = self.tensors(batch)
        numbers = [n for n, tensor in enumerate(inputs) if self.is_differentiable(n, tensor)]
        tensors = [inputs[n].clone().requires_grad_() for n in numbers]
        tensors += [p.detach().clone().requires_grad_() for p in weights.values()]

        def outputs(*tensors: Tensor) -> tuple[Tensor, ...]:
            replaced = {**dict(enumerate(inputs)), **dict(zip(numbers, tensors, strict=False))}
            following = iter(replaced.values())
            parameters = dict(zip(weights, tensors[len(numbers) :], strict=True))
            torch.manual_seed(0)
            result = functional_call(module, parameters, (self.map_tensors(batch, lambda _: next(following)),))
            return tuple(tensor for tensor in floating(result) if tensor.requires_grad)

        if tensors and outputs(*tensors):
            torch.autograd.gradcheck(outputs, tensors, fast_mode=True, atol=1e-5, rtol=1e-3)

    def check_compile(self) -> None:
        """Under `torch.compile`, graph breaks allowed, the output is the same."""
        module, batch = self.build(), self.inputs()
        expected = call(module, batch)
        torch.compiler.reset()
        assert_same(
            call(torch.compile(module, backend="aot_eager"), batch), expected, "outputs when compiled", tolerance=1e-4
        )

    def is_differentiable(self, number: int, tensor: Tensor) -> bool:
        """Whether gradients flow to the n-th tensor of a batch; by default to the first one, if floating."""
        return number == 0 and tensor.is_floating_point()

    def map_tensors(self, inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
        """Return a batch with a function applied to each of its tensors."""
        return map_tensors(inputs, function)

    def tensors(self, inputs: Any) -> list[Tensor]:
        """Return the tensors of a batch."""
        found: list[Tensor] = []

        def note(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        self.map_tensors(inputs, note)
        return found
