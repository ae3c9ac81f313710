"""The memory of a container or job counts where it is less than that of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from downstream.machine_memory import memory_here

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/job/step\n", {"job/memory.max": "1000", "job/step/memory.max": "max"}, 1000),
        ("0::/job/step\n", {"job/memory.max": "3000", "job/step/memory.max": "2000"}, 2000),
        # The name outside the container, which has only its own root.
        ("0::/docker/0123\n", {"memory.max": "4000"}, 4000),
        ("9:cpu,memory:/job\n3:cpuset:/\n0::/\n", {"memory/job/memory.limit_in_bytes": "5000"}, 5000),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("0::/\n", {}, MACHINE),
    ],
)
def test_the_least_limit_counts(groups: str, limits: dict[str, str], expected: int, tmp_path: Path) -> None:
    (tmp_path / "groups").write_text(groups)
    for name, limit in limits.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(limit + "\n")
    assert memory_here(tmp_path / "groups", tmp_path / "mount") == expected


def test_a_system_without_control_groups_has_the_memory_of_the_machine(tmp_path: Path) -> None:
    assert memory_here(tmp_path / "none", tmp_path) == MACHINE
    assert 0 < memory_here() <= MACHINE
