from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_operators.tasks.folder import FieldFolder
from itnet_registry import create_model, load_model, save_model
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance

WriteFields = Callable[..., Path]
SPLITS = ("train", "validation", "test")


def sizes(task: FieldFolder) -> dict[str, int]:
    datasets: dict[str, Any] = {split: task.dataset(split) for split in SPLITS}  # type: ignore[arg-type]
    return {split: len(dataset) for split, dataset in datasets.items()}


def inputs_of(task: FieldFolder, split: Any) -> Any:
    dataset: Any = task.dataset(split)
    return [dataset[number].inputs for number in range(len(dataset))]


def test_folders_and_files_of_the_same_samples_are_the_same(
    write_fields: WriteFields, write_stack: WriteFields, tmp_path: Path
) -> None:
    stack = write_stack(tmp_path / "all.npz")
    with np.load(stack) as content:
        for number in range(12):
            write_fields(tmp_path / "single", count=1, **{key: content[key][number] for key in content.files})
            (tmp_path / "single/00.npz").rename(tmp_path / "single" / f"s{number:02}.npz")
    places = [tmp_path / "single", stack, write_stack(tmp_path / "all.h5")]
    tasks = [FieldFolder(root=str(place)) for place in places]
    for task in tasks[1:]:
        assert task.config.model_dump(exclude={"root"}) == tasks[0].config.model_dump(exclude={"root"})
        for split in SPLITS:
            pairs = zip(inputs_of(task, split), inputs_of(tasks[0], split), strict=True)
            assert all(torch.equal(a.values, b.values) and torch.equal(a.targets, b.targets) for a, b in pairs)


def test_its_own_splits(write_fields: WriteFields, write_stack: WriteFields, tmp_path: Path) -> None:
    write_fields(tmp_path / "train", count=7)
    write_stack(tmp_path / "test.npz")
    assert sizes(FieldFolder(root=str(tmp_path), validation=0.3)) == {"train": 5, "validation": 2, "test": 12}
    write_fields(tmp_path / "val", count=3)
    assert sizes(FieldFolder(root=str(tmp_path))) == {"train": 7, "validation": 3, "test": 12}
    write_stack(tmp_path / "val.npz")
    with pytest.raises(DataError, match=r"found val and val.npz; expected one folder or file for val"):
        FieldFolder(root=str(tmp_path)).dataset("validation")


def test_the_test_split_depends_on_no_option_of_validation(write_stack: WriteFields, tmp_path: Path) -> None:
    root = str(write_stack(tmp_path / "all.npz"))
    tests = [FieldFolder(root=root, **options) for options in ({}, {"seed": 5, "validation": 0.4}, {"test_fold": 1})]
    numbers = [[row.number for row in task.test().sources] for task in tests]
    assert numbers[0] == numbers[1]
    assert not set(numbers[0]) & set(numbers[2])


def test_inputs_are_standardised_and_the_box_is_from_minus_1_to_1(write_fields: WriteFields, tmp_path: Path) -> None:
    """Of the training samples, whatever the unit."""
    samples = inputs_of(FieldFolder(root=str(write_fields(tmp_path / "heat"))), "train")
    values, positions = (torch.cat([getattr(s, name) for s in samples]) for name in ("values", "positions"))
    torch.testing.assert_close(values.mean(0), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(2))
    low, high = positions.aminmax(dim=0)
    torch.testing.assert_close((low + high) / 2, torch.zeros(4), rtol=0, atol=1e-6)
    torch.testing.assert_close((high - low).max(), torch.tensor(2.0))
    assert (positions[:, [0, 3]] == 0).all()


def test_a_period_becomes_2(write_fields: WriteFields, tmp_path: Path) -> None:
    task = FieldFolder(root=str(write_fields(tmp_path / "ring", positions=np.arange(10.0))), period=10, axes="t")
    positions = inputs_of(task, "test")[0].positions
    torch.testing.assert_close(positions[:, 0].diff(), torch.full((9,), 0.2))


def test_a_boundary_point_carries_input_and_has_no_target(write_fields: WriteFields, tmp_path: Path) -> None:
    targets, weights = np.arange(10.0), np.full(10, 1.0)
    targets[0], weights[0] = np.nan, 0.1
    options = {"targets": targets, "weights": weights, "inputs": np.arange(10.0), "positions": np.arange(10.0)}
    task = FieldFolder(root=str(write_fields(tmp_path / "b", **options)))
    batch = task.collate([task.dataset("test")[0]])
    assert batch.inputs.weights[0, 0] == pytest.approx(0.1 / 9.1)
    assert (batch.targets.weights[0, :, 0] > 0).tolist() == [False] + 9 * [True]


def test_samples_on_a_grid_need_no_positions(write_fields: WriteFields, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(12, 1))
    folder = write_fields(tmp_path / "grid", grid=[3, 4], inputs=values, targets=values)
    for file in folder.iterdir():
        with np.load(file) as content:
            kept = {key: content[key] for key in content.files if key != "positions"}
        np.savez(file, **kept)
    task = FieldFolder(root=str(folder))
    batch = task.collate(list(map(task.dataset("test").__getitem__, range(2))))
    assert batch.inputs.grid == (3, 4)


def test_a_checkpoint_predicts_without_the_data(write_fields: WriteFields, tmp_path: Path) -> None:
    folder = write_fields(tmp_path / "heat")
    task = {"name": "field-folder", "root": str(folder)}
    kernel = {"name": "mlp", "heads": 2, "hidden": 4}
    model = create_model(width=8, depth=1, kernel=kernel, encoder="periodic-field", task=task).eval()
    mine = write_fields(tmp_path / "mine", count=1) / "00.npz"
    [before] = _describe(model, mine)
    save_model(model, tmp_path / "checkpoint")
    for file in folder.iterdir():
        file.unlink()
    assert _describe(load_model(tmp_path / "checkpoint").eval(), mine) == [before]
    assert len(before["values"]) == 10


def _describe(model: Any, file: Path) -> Any:
    config = dict(model.config["tasks"]["field"])
    assert config.pop("name") == "itnet-operators/field-folder"
    task = FieldFolder(FieldFolder.Config(**config))
    with torch.inference_mode():
        return task.describe(model(task.collate([task.read(file)]).inputs))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: np.savez(f / "05.npz", inputs=np.ones(3)), "05.npz: found neither positions nor grid"),
        (lambda f: (f / "05.npz").write_bytes(b"PK"), "05.npz: found a damaged or unreadable file"),
        (
            lambda f: np.savez(f / "05.npz", inputs=np.ones(3), targets=np.ones(3), positions=np.ones((3, 2))),
            r"05.npz: found \(1, 1, 2\) columns of inputs, targets, positions; expected \(2, 1, 2\)",
        ),
    ],
)
def test_a_bad_training_file_is_refused_or_left_out(
    spoil: Callable[[Path], Any], message: str, write_fields: WriteFields, tmp_path: Path
) -> None:
    folder = write_fields(tmp_path / "train").parent
    write_fields(tmp_path / "val", count=2)
    write_fields(tmp_path / "test", count=2)
    spoil(tmp_path / "train")
    task = FieldFolder(root=str(folder))
    with pytest.raises(DataError, match=message):
        task.encoder_options  # noqa: B018
    if "columns" not in message:
        skipping = FieldFolder(root=str(folder), on_bad_sample="skip")
        with pytest.warns(SkippedSampleWarning, match=message):
            assert inputs_with_gaps(skipping) == 11


def inputs_with_gaps(task: FieldFolder) -> int:
    dataset: Any = task.dataset("train")
    return sum(dataset[number] is not None for number in range(len(dataset)))


def test_processes_that_load_data_get_the_same_samples(write_stack: WriteFields, tmp_path: Path) -> None:
    """They get a copy of the dataset by pickle."""
    dataset: Any = FieldFolder(root=str(write_stack(tmp_path / "all.h5"))).dataset("train")
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3].inputs.values, dataset[3].inputs.values)


def test_a_users_file_of_other_columns_is_refused(write_fields: WriteFields, tmp_path: Path) -> None:
    task = FieldFolder(root=str(write_fields(tmp_path / "heat")))
    np.savez(tmp_path / "mine.npz", inputs=np.ones((3, 5)), positions=np.ones((3, 2)))
    with pytest.raises(DataError, match="mine.npz: inputs: found 5 columns; expected 2, as in the training data"):
        task.read(tmp_path / "mine.npz")
    np.savez(tmp_path / "mine.npz", inputs=np.ones((3, 2)), positions=np.ones((3, 1)))
    with pytest.raises(DataError, match="mine.npz: positions: found 1 columns; expected 2"):
        task.read(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda root: None, "data: found no such file"),
        (lambda root: root.mkdir(), "data: found no .npz file"),
        (lambda root: root.write_text("x"), "data: found another suffix; expected a folder, or a file ending in .npz"),
    ],
)
def test_roots_without_samples_are_refused(prepare: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    prepare(tmp_path / "data")
    with pytest.raises(DataError, match=message):
        FieldFolder(root=str(tmp_path / "data")).dataset("train")


def test_targets_that_are_all_equal_have_no_scale(write_fields: WriteFields, tmp_path: Path) -> None:
    folder = write_fields(
        tmp_path / "flat", inputs=np.arange(10.0), positions=np.arange(10.0), targets=np.full(10, 2.0)
    )
    with pytest.raises(DataError, match="targets: found the same number everywhere in column 0"):
        FieldFolder(root=str(folder)).head  # noqa: B018
    assert FieldFolder(root=str(folder), scale=[2.0]).head["outputs"] == 1


def test_axes_are_one_for_each_coordinate(write_fields: WriteFields, tmp_path: Path) -> None:
    folder = str(write_fields(tmp_path / "heat"))
    assert FieldFolder(root=folder, axes="tx").encoder_options == {"channels": 2, "axes": "tx"}
    with pytest.raises(ConfigError, match="FieldFolder.axes: found axes 'x'; expected an axis for each of 2"):
        FieldFolder(root=folder, axes="x").encoder_options  # noqa: B018


def test_other_files_are_left_out_and_counted(write_fields: WriteFields, tmp_path: Path) -> None:
    folder = write_fields(tmp_path / "heat")
    (folder / "notes.txt").write_text("no field")
    with pytest.warns(SkippedSampleWarning, match=r"1 of 13 files left out because of their suffix: .*notes.txt"):
        FieldFolder(root=str(folder))


class TestConformance(TaskConformance):
    component = "itnet-operators/field-folder"
    encoder = "itnet-core/field"

    @pytest.fixture(autouse=True)
    def _write(self, write_fields: WriteFields) -> None:
        self.write_fields = write_fields

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return {"root": str(self.write_fields(folder / "heat"))}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [dict(np.load(self.user_file(self.folder)))]

    def user_file(self, folder: Path) -> Path:
        return self.write_fields(folder / "mine", count=1) / "00.npz"
