"""How much memory this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def memory_here(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """Bytes of memory of this machine, or of the container or job of this process if that has less.

    Args:
        groups: file that names the control groups of the process.
        mount: root folder of the limits.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(groups, mount)])


def _limits(groups: Path, mount: Path) -> Iterator[int]:
    """The limit of each memory group of the process, and of the groups that hold it."""
    # A system without control groups.
    if not groups.is_file():
        return
    for line in groups.read_text(encoding="utf-8").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            root, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = Path(group.lstrip("/"))
        # In a container the group may have its outer name, and then only the root exists.
        for inner in (folder, *folder.parents):
            try:
                limit = (root / inner / name).read_text(encoding="utf-8").strip()
            except OSError:
                continue
            if limit.isdigit():
                yield int(limit)
