"""A checkpoint is the old one or the new one; what it leaves out of the average is stated exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from augment.errors import UserError
from augment.lumen import options
from augment.lumen.training.average import WeightAverage
from augment.lumen.training.checkpoint import CHECKPOINT, Checkpoint, Folder


def test_checkpoint_that_cannot_be_written_leaves_the_old_one_and_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Folder(tmp_path)
    checkpoint = Checkpoint(files)
    weight = torch.ones(3)
    checkpoint.save({"weight": weight}, {"step": 1})
    # The training goes on while it is written.
    weight += 1
    checkpoint.wait()

    def full(_scratch: Path, _path: str) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files, "publish", full)
    checkpoint.save({"weight": weight}, {"step": 2})
    with pytest.raises(OSError, match="no space left"):
        checkpoint.wait()
    tensors, facts = checkpoint.load()
    assert tensors["weight"].tolist() == [1, 1, 1] and facts == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_damaged_checkpoint_is_named_with_the_remedy(tmp_path: Path) -> None:
    checkpoint = Checkpoint(Folder(tmp_path))
    checkpoint.save({"weight": torch.ones(100)}, {"step": 1})
    checkpoint.wait()
    path = tmp_path / CHECKPOINT
    for size in (path.stat().st_size - 1, 4, 0):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(UserError, match=rf"^{path} is damaged \(.*\): remove it, and the training begins again$"):
            checkpoint.load()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    checkpoint = Checkpoint(Folder(tmp_path))
    checkpoint.save({"weight": torch.ones(1)}, {})
    checkpoint.wait()
    for name in (f".{CHECKPOINT}.other.17.tmp", "loss.jsonl"):
        (tmp_path / name).touch()
    checkpoint.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, "loss.jsonl"}


@pytest.mark.parametrize("every", [1, 3])
def test_average_counts_every_step_since_its_last_change(every: int) -> None:
    weight = torch.zeros(2)
    average = WeightAverage({"weight": weight}, 0.5, every)
    expected, since, steps = torch.zeros(2), 0, 7
    for step in range(1, steps + 1):
        weight += step
        average.update(step, last=step == steps)
        since += 1
        if step % every == 0 or step == steps:
            decay = min(0.5, (1 + step) / (10 + step)) ** since
            expected, since = decay * expected + (1 - decay) * weight, 0
    torch.testing.assert_close(average.values["weight"], expected)
    average.swap()
    torch.testing.assert_close(weight, expected)


def test_optimizer_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "find_spec", lambda _name: None)
    options.require_optimizer("adamw")
    with pytest.raises(UserError, match="bitsandbytes: install it, or take adamw"):
        options.require_optimizer("adamw8bit")
