"""Lightning's strategy for models whose parameters are shared by processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

SHARDS = "shards-"
"""Prefix of the folders of shares beside the training state, followed by the number of the step."""

SHARED = "shared"
"""Key in a callback's state of tensors by name that are shared as the parameters are, and saved and restored in place
with them."""


class ShardedStrategy(ModelParallelStrategy):
    """Saves the training state in shares: each process writes its own of the weights, the optimizer's states and what
    callbacks keep under `SHARED`.

    They are written by `torch.distributed.checkpoint` as safetensors, to a folder that the file of the training state
    names; so another number of processes can read them, and no file runs code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write the shares, and then the rest of the state to `filepath`."""
        path = Path(self.broadcast(filepath))
        folder = path.with_name(f"{SHARDS}{self.lightning_module.global_step}")  # type: ignore[union-attr]
        if self.is_global_zero:
            shutil.rmtree(folder, ignore_errors=True)
        self.barrier()
        shares = _shares(checkpoint.pop("state_dict"), checkpoint["optimizer_states"], checkpoint["callbacks"])
        save(shares, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
        if self.is_global_zero:
            for state in checkpoint["optimizer_states"]:
                state["state"] = {name: _without_tensors(values) for name, values in state["state"].items()}
            for state in checkpoint["callbacks"].values():
                state.pop(SHARED, None)
            torch.save(checkpoint | {"shards": folder.name}, path)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Restore the model and its optimizers from the shares, and return the rest of the state."""
        assert self.model is not None
        assert self.lightning_module is not None
        path = Path(checkpoint_path)
        checkpoint = read_state(path)
        weights = self.lightning_module_state_dict()
        states = [self.optimizer_state(optimizer) for optimizer in self.optimizers]
        found = self.lightning_module.trainer.callbacks  # type: ignore[attr-defined]
        callbacks = {callback.state_key: callback.state_dict() for callback in found}
        reader = HuggingFaceStorageReader(str(path.with_name(checkpoint["shards"])))
        load(_shares(weights, states, callbacks), storage_reader=reader)
        set_model_state_dict(self.model, weights)
        for optimizer, state, saved in zip(self.optimizers, states, checkpoint["optimizer_states"], strict=True):
            for name, values in saved["state"].items():
                state["state"][name].update(values)
            set_optimizer_state_dict(self.model, optimizer, {**state, "param_groups": saved["param_groups"]})
        return checkpoint


def read_state(path: Path) -> dict[str, Any]:
    """Return a training state without its shares."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def remove_old_shares(state: Path) -> None:
    """Remove folders of shares that a training state does not name."""
    kept = read_state(state)["shards"]
    for folder in state.parent.glob(f"{SHARDS}*"):
        if folder.name != kept:
            shutil.rmtree(folder)


def _shares(
    weights: Mapping[str, Tensor], states: list[dict[str, Any]], callbacks: Mapping[str, Mapping[str, Any]]
) -> dict[str, Tensor]:
    """Return the tensors of a model, its optimizers and callbacks by names."""
    tensors = {f"model.{name}": tensor for name, tensor in weights.items()}
    for number, state in enumerate(states):
        for name, values in state["state"].items():
            tensors |= {f"optimizer{number}.{name}.{key}": value for key, value in _tensors(values)}
    for owner, kept in callbacks.items():
        tensors |= {f"{owner}.{name}": tensor for name, tensor in kept.get(SHARED, {}).items()}
    return tensors


def _tensors(values: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    return ((key, value) for key, value in values.items() if isinstance(value, Tensor))


def _without_tensors(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not isinstance(value, Tensor)}
