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


def test_a_failure_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    with pytest.raises(RuntimeError), written_whole(tmp_path / "file") as scratch:
        scratch.write_text("half of the n")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
