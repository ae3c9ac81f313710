"""A file is there whole or as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.files import write_whole, written_whole


@pytest.mark.parametrize("content", ["text ü\r\n", b"\0bytes"])
def test_content_is_written_unchanged(tmp_path: Path, content: str | bytes) -> None:
    write_whole(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_kill_leaves_is_used_again(tmp_path: Path) -> None:
    (tmp_path / ".file.tmp").write_text("of a writer that was killed")
    write_whole(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_writers_at_once_do_not_write_into_one_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with written_whole(path, shared=True) as first, written_whole(path, shared=True) as second:
        first.write_text("the longer text of the first")
        second.write_text("second")
    assert path.read_text() == "the longer text of the first"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_failure_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    with pytest.raises(RuntimeError), written_whole(tmp_path / "file") as scratch:
        scratch.write_text("half of the n")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
