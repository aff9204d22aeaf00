from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from itnet_train.data.batch_sampler import SampleKey, TaskBatchSampler, TaskShare, sequential_batches

SIZES = st.integers(1, 40)
SHARES = st.dictionaries(
    st.sampled_from(["image", "text", "audio"]),
    st.builds(TaskShare, size=SIZES, batch_size=st.integers(1, 6), samples=SIZES),
    min_size=1,
)


def single(
    size: int, *, seed: int = 0, samples: int | None = None, batch_size: int = 1, **process: int
) -> TaskBatchSampler:
    return TaskBatchSampler({"image": TaskShare(size, batch_size, samples or size)}, seed, **process)


@given(size=SIZES, world=st.integers(1, 3), epoch=st.integers(0, 5), seed=st.integers(0, 9))
def test_processes_share_an_epochs_samples_evenly(size: int, world: int, epoch: int, seed: int) -> None:
    shares = [list(single(size, seed=seed, epoch=epoch, rank=rank, world_size=world)) for rank in range(world)]
    assert {len(share) for share in shares} == {size // world}
    keys = [key for share in shares for batch in share for key in batch]
    assert len({key.sample for key in keys}) == len(keys) == size // world * world
    assert {key.sample for key in keys} <= set(range(size))
    assert all(key.pass_number == epoch for key in keys)


@given(shares=SHARES, skip=st.integers(0, 40), epoch=st.integers(0, 5))
def test_an_epoch_continues_after_skipped_batches_and_the_next_is_complete(
    shares: dict[str, TaskShare], skip: int, epoch: int
) -> None:
    whole, rest = TaskBatchSampler(shares, 0, epoch=epoch), TaskBatchSampler(shares, 0, epoch=epoch, skip=skip)
    rest.set_epoch(epoch)
    assert len(rest) == len(whole) == len(list(whole))
    assert list(rest) == list(whole)[skip:]
    for schedule in (whole, rest):
        schedule.set_epoch(epoch + 1)
    assert list(rest) == list(whole)


def test_epochs_and_seeds_differ_in_order() -> None:
    orders = [str(list(single(50, seed=seed, epoch=epoch))) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


@given(shares=SHARES, world=st.integers(1, 2))
def test_batches_are_of_one_task_each_and_the_same_one_on_every_process(
    shares: dict[str, TaskShare], world: int
) -> None:
    batches = [list(TaskBatchSampler(shares, 0, rank=rank, world_size=world)) for rank in range(world)]
    tasks = [[{key.modality for key in batch} for batch in own] for own in batches]
    assert all(len(modalities) == 1 for modalities in tasks[0])
    assert all(own == tasks[0] for own in tasks)
    for modality, share in shares.items():
        sizes = [len(batch) for batch in batches[0] if batch[0].modality == modality]
        samples = share.samples // world
        assert sizes == ([share.batch_size] * (samples // share.batch_size) or [samples] * bool(samples))


@given(size=SIZES, samples=SIZES)
def test_parts_of_a_split_see_every_sample_equally_often(size: int, samples: int) -> None:
    seen = Counter[int]()
    for epoch in range(7):
        seen.update(key.sample for batch in single(size, samples=samples, epoch=epoch) for key in batch)
        counts = [seen[sample] for sample in range(size)]
        assert max(counts) - min(counts) <= 1
    assert sum(seen.values()) == 7 * samples


@given(size=SIZES, samples=SIZES, repeats=st.integers(1, 4))
def test_repeated_samples_follow_one_another_as_numbered_copies(size: int, samples: int, repeats: int) -> None:
    share = TaskShare(size, 1, samples, repeats)
    keys = [SampleKey("image", *row) for epoch in range(5) for row in share.keys(0, epoch).tolist()]
    assert len(keys) == len(set(keys)) == 5 * samples
    assert [key.copy for key in keys] == [number % repeats for number in range(len(keys))]
    for start in range(0, len(keys), repeats):
        assert len({(key.sample, key.pass_number) for key in keys[start : start + repeats]}) == 1


def test_the_batches_of_several_tasks_are_spread_evenly() -> None:
    shares = {"image": TaskShare(80, 1, 80), "text": TaskShare(10, 1, 10), "audio": TaskShare(10, 1, 10)}
    names = [batch[0].modality for batch in TaskBatchSampler(shares, 0)]
    for start in range(0, 100, 10):
        assert Counter(names[start : start + 10]) == {"image": 8, "text": 1, "audio": 1}


@given(size=SIZES, batch_size=st.integers(1, 7), world=st.integers(1, 3))
def test_a_whole_split_has_each_sample_once(size: int, batch_size: int, world: int) -> None:
    shares = [sequential_batches("image", size, batch_size, rank=rank, world_size=world) for rank in range(world)]
    keys = [key for share in shares for batch in share for key in batch if key.sample >= 0]
    assert sorted(keys) == [SampleKey("image", 0, sample) for sample in range(size)]
    assert all(1 <= len(batch) <= batch_size for share in shares for batch in share)
    assert len({len(share) for share in shares}) == 1


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=60),
    batch_size=st.integers(1, 5),
    bucket=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_buckets_are_the_same_samples_for_any_number_of_processes(
    lengths: list[int], batch_size: int, bucket: int, epoch: int
) -> None:
    def samples(world: int, **options: Any) -> list[list[int]]:
        """Return the samples of each step, of all processes."""
        share = TaskShare(len(lengths), batch_size * 2 // world, len(lengths), **options)
        ranks = [TaskBatchSampler({"text": share}, 0, epoch=epoch, rank=r, world_size=world) for r in range(world)]
        return [sorted(key.sample for batch in step for key in batch) for step in zip(*ranks, strict=True)]

    alone, both = (samples(world, lengths=lengths, bucket=bucket) for world in (1, 2))
    assert both[: len(alone) - 1] == alone[: len(both) - 1]
    if len(lengths) >= 2 * batch_size:
        in_buckets, at_random = (sorted(chain.from_iterable(steps)) for steps in (alone, samples(1)))
        assert in_buckets == at_random  # those that are left out are random, not the longest


def test_batches_of_buckets_have_little_padding_and_a_random_order() -> None:
    lengths = list(range(400))
    share = TaskShare(400, 10, 400, lengths=lengths, bucket=8)
    batches = [[key.sample for key in batch] for batch in TaskBatchSampler({"text": share}, seed=0)]
    padding = [len(batch) * max(batch) - sum(batch) for batch in batches]
    assert sum(padding) < 0.2 * sum(lengths)  # 0.8 in random order
    means = [sum(batch) for batch in batches]
    assert means != sorted(means)
    again = [[key.sample for key in batch] for batch in TaskBatchSampler({"text": share}, seed=0)]
    assert again == batches
    other = TaskBatchSampler({"text": share}, seed=0, epoch=1)
    assert [[key.sample for key in batch] for batch in other] != batches


@given(
    chunks=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    buffer=st.integers(1, 30),
    world=st.integers(1, 3),
    skip=st.integers(0, 9),
    seed=st.integers(0, 9),
)
def test_chunks_are_read_one_after_another_and_every_sample_once(
    chunks: list[int], buffer: int, world: int, skip: int, seed: int
) -> None:
    share = TaskShare(sum(chunks), 1, sum(chunks), chunks=chunks, buffer=buffer)
    order = share.keys(seed, epoch=0)[:, 1].tolist()
    assert sorted(order) == list(range(sum(chunks)))
    numbers = [number for number, size in enumerate(chunks) for _ in range(size)]
    ends, open_chunks = {numbers[sample]: place for place, sample in enumerate(order)}, set[int]()
    for place, sample in enumerate(order):
        open_chunks |= {numbers[sample]}
        # All chunks but the last of a window have fewer samples than the buffer together.
        assert sum(chunks[number] for number in open_chunks) < buffer + max(chunks)
        open_chunks -= {number for number in open_chunks if ends[number] == place}
    own = [
        list(TaskBatchSampler({"image": share}, seed, skip=skip, rank=rank, world_size=world)) for rank in range(world)
    ]
    steps = [[key.sample for batch in batches for key in batch] for batches in zip(*own, strict=True)]
    flat = [sample for step in steps for sample in step]
    assert flat == order[skip * world : len(order) // world * world]


def test_a_buffer_of_the_whole_split_mixes_all_chunks() -> None:
    share = TaskShare(400, 1, 400, chunks=[100] * 4, buffer=400)
    first, second = (share.keys(0, epoch)[:, 1].tolist() for epoch in range(2))
    chunks = [sample // 100 for sample in first]
    assert all(15 < chunks[:100].count(number) < 35 for number in range(4))
    assert first != second
