"""What differs is told by the keys that a user sets, without pages of digests."""

from __future__ import annotations

import pytest

from pipeline.workspace.mismatch import name_of, told

THEN, NOW = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("kind", "path", "name"),
    [
        ("synthetic", "sampler.num_steps", "generator.num_steps"),
        ("synthetic", "sampling.fraction", "generate.sampling.fraction"),
        ("real", "sampling.fraction", "dataset.sampling.fraction"),
        ("judge", "options.iterations", "judge.iterations"),
        ("judge", "options.batch_size", "downstream.batch_size"),
        ("adapter", "base.name", "generator.base"),
        ("real", "geometry.width", "geometry.width"),
    ],
)
def test_an_input_is_called_by_the_key_that_sets_it(kind: str, path: str, name: str) -> None:
    assert name_of(kind, path) == name


def test_keys_come_before_contents_and_digests_are_short() -> None:
    stored = {"inputs": {"layouts": THEN, "real": THEN, "seed": 0}}
    asked = {"inputs": {"layouts": NOW, "real": NOW, "seed": 1}}
    assert told("synthetic", stored, asked) == (
        "seed: stored 0, requested 1; "
        'what the store of layouts holds: stored "aaaaaaaa", requested "bbbbbbbb"; '
        'what the real store holds: stored "aaaaaaaa", requested "bbbbbbbb"'
    )
