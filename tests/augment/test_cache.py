"""What is kept in the cache is made once for one key, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment import cache
from augment.cache import kept


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUMEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Counts how often it makes its value."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, int]:
        self.times += 1
        return {"value": 1}


def test_a_value_is_made_once_for_one_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    assert [kept("things", ["a", 1], make) for _ in range(3)] == [{"value": 1}] * 3
    assert make.times == 1 and len(list((root / "things").iterdir())) == 1
    kept("things", ["a", 2], make)
    kept("others", ["a", 1], make)
    assert make.times == 3
    # Other code or libraries may give another value.
    monkeypatch.setattr(cache, "version", lambda _: "0")
    kept("things", ["a", 1], make)
    assert make.times == 4


def test_a_damaged_file_and_a_folder_that_cannot_be_written_cost_time_alone(root: Path) -> None:
    make = Maker()
    kept("things", ["a"], make)
    [path] = (root / "things").iterdir()
    path.write_text('{"val')
    assert kept("things", ["a"], make) == {"value": 1} and make.times == 2
    assert kept("things", ["a"], make) == {"value": 1} and make.times == 2
    (root / "blocked").write_text("a file")
    assert [kept("blocked", ["a"], make) for _ in range(2)] == [{"value": 1}] * 2 and make.times == 4
