"""A batch that does not fit into memory is halved for good, with a remark, and no sample is lost to it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.engine import ErrorBudget, WorkUnit, make_executor, run_store_stage
from pipeline.engine.memory import FittingBatches, is_out_of_memory
from pipeline.engine.progress import take_remarks
from pipeline.store import Store
from tests.pipeline.engine import stages


@pytest.fixture(scope="module")
def _cheap_collections() -> Iterator[None]:
    """The collections of the code under test leave out what all the tests before have loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_cheap_collections")
@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 20))
def test_every_item_is_done_once_and_in_order(count: int, size: int, fits: int) -> None:
    take_remarks()
    tried: list[int] = []

    def double(part: list[int]) -> list[int]:
        tried.append(len(part))
        if len(part) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * item for item in part]

    batches = FittingBatches("generate", size)
    assert batches.run(list(range(count)), double) == [2 * item for item in range(count)]
    failed = [length for length in tried if length > fits]
    # Each size is tried once, and comes of the first by halving.
    assert failed == sorted(set(failed), reverse=True)
    assert batches.size in {size >> halvings for halvings in range(6)}
    before = len(tried)
    batches.run(list(range(count)), double)
    assert max(tried[before:]) <= fits
    assert len(take_remarks()) == len(failed)


def test_a_last_smaller_batch_does_not_cut_the_size_further_than_it_must() -> None:
    def fill(part: list[int]) -> list[int]:
        # Only the last three items are large.
        if len(part) > (2 if max(part) >= 8 else 8):
            raise MemoryError
        return part

    batches = FittingBatches("generate", 8)
    assert batches.run(list(range(11)), fill) == list(range(11))
    assert batches.size == 2
    assert take_remarks() == [
        "generate: a batch of 3 does not fit into memory: a worker goes on with 2 at a time; "
        "set cluster.stages.generate.batch_size=2 to start with that"
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("no"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("HIP out of memory. Tried to allocate"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
        (ArithmeticError("no image"), False),
    ],
)
def test_only_errors_of_memory_count_as_such(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


@pytest.mark.parametrize("kind", ["serial", "ray"])
def test_stage_goes_on_with_smaller_batches_and_says_so_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
    lines: list[str] = []
    stage = stages.FillsMemory(log=str(tmp_path / "sizes"), fits=2, batch_size=5)
    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    executor = make_executor(kind, report=lines.append)  # type: ignore[arg-type]
    run_store_stage(stage, stages.Noise(), store, stages.plan(3), executor, ErrorBudget(), print)
    assert store.totals().samples == 2 * 3 * stages.KEYS_PER_UNIT
    assert store.quarantine().num_rows == 0
    sizes = [int(size) for size in (tmp_path / "sizes").read_text().split()]
    assert sizes.count(5) == 1
    assert sizes.count(2) >= 6
    assert lines == [
        "generate: a batch of 5 does not fit into memory: a worker goes on with 2 at a time; "
        "set cluster.stages.generate.batch_size=2 to start with that"
    ]


def test_smaller_batches_write_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name, stage in (("small", stages.FillsMemory(fits=1)), ("whole", stages.Variants())):
        store = Store.create(str(tmp_path / name), stages.MANIFEST)
        run_store_stage(stage, stages.Noise(), store, stages.plan(2), make_executor("serial"), ErrorBudget(), print)
        digests.append([receipt.sha256 for receipt in store.receipts()])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_sample_that_does_not_fit_ends_the_run_with_the_remedy(tmp_path: Path, error: type[Exception]) -> None:
    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    stage = stages.FillsMemory(fits=0, error=error)
    with pytest.raises(UserError, match=r"generate: a batch of a single sample does not fit .*lower geometry\.height"):
        run_store_stage(stage, stages.Noise(), store, stages.plan(1), make_executor("serial"), ErrorBudget(), print)
    assert store.done() == set()


class FillsMemoryInSetup(stages.Task):
    def setup(self) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")


def test_model_that_does_not_fit_ends_the_run_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"probe: its model does not fit into memory \(CUDA out of memory"):
        list(make_executor("serial").map(FillsMemoryInSetup(), stages.plan(1)))


class FillsMemory(stages.Task):
    def run(self, unit: WorkUnit) -> tuple[str, int]:  # noqa: ARG002
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("stage", "remedies"),
    [
        ("adapt", ["lower adapt.batch_size", "generator.base"]),
        ("judge", ["lower downstream.batch_size", "downstream.model"]),
        ("compare", ["lower downstream.batch_size", "downstream.model"]),
        ("extract", ["lower geometry.height", "backbone.name"]),
        ("caption", ["lower geometry.height", "captions.model"]),
    ],
)
def test_remedies_are_those_of_the_stage_the_first_one_first(stage: str, remedies: list[str]) -> None:
    task = FillsMemory(name=stage)
    with pytest.raises(UserError) as error:
        list(make_executor("serial").map(task, stages.plan(1)))
    message = str(error.value)
    assert message.startswith(f"{stage}: its work does not fit into memory (CUDA out of memory): {remedies[0]}")
    assert f"take a smaller model by {remedies[1]}" in message
