"""Loaders of training data work wherever TMPDIR leads."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from augment.sockets import short_folder, short_sockets

LOADER = """
import sys, torch
from torch.utils.data import DataLoader, Dataset
from augment.sockets import short_sockets

class Zeros(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return torch.zeros(3, 8, 8)

with short_sockets():
    print(len(list(DataLoader(Zeros(), batch_size=2, num_workers=1))))
"""


def test_loader_processes_pass_tensors_below_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("folder-of-a-batch-system-" * 4)
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LOADER],
        env={"TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_short_paths_and_the_folder_of_other_files_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert short_folder("/tmp", "/socket") is None
    assert short_folder("/tmp/" + "x" * 95, "/socket") is None
    chosen = short_folder("/tmp/" + "x" * 96, "/socket")
    assert chosen is not None and Path(chosen).is_dir()
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "ü" * 40)
    with short_sockets():
        assert tempfile.gettempdir() == chosen
    assert tempfile.gettempdir() == "/tmp/" + "ü" * 40
