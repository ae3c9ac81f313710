"""constraints.txt pins all that an installation with the offline, s3 and dev extras brings."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
# They come with torch's CUDA build alone, in the versions that it asks for.
ACCELERATOR = ("nvidia-", "cuda-", "triton")


def pins() -> dict[str, Requirement]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = [pin for pin in requirements if pin.marker is None or pin.marker.evaluate()]
    assert len({canonicalize_name(pin.name) for pin in here}) == len(here), "a package is pinned twice"
    return {canonicalize_name(pin.name): pin for pin in here}


def installed_closure(root: str, extras: tuple[str, ...]) -> Iterator[str]:
    """Names of the installed packages that ``root`` needs, directly or through others."""
    seen: set[tuple[str, str]] = set()
    queue = [(root, extra) for extra in ("", *extras)]
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for requirement in map(Requirement, requires):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                queue += [(canonicalize_name(requirement.name), key) for key in ("", *requirement.extras)]
    yield from sorted({name for name, _ in seen} - {root})


def test_every_package_is_pinned_to_the_installed_version() -> None:
    pinned = pins()
    names = [name for name in installed_closure("lumen-layouts", ("offline", "s3", "dev")) if name in pinned]
    assert len(names) > 60
    wrong = {
        name: distribution(name).version for name in names if distribution(name).version not in pinned[name].specifier
    }
    assert not wrong, f"other versions than constraints.txt says: {wrong}"


def test_no_package_is_left_unpinned() -> None:
    pinned = pins()
    needed = installed_closure("lumen-layouts", ("offline", "s3", "dev"))
    assert [name for name in needed if name not in pinned and not name.startswith(ACCELERATOR)] == []
