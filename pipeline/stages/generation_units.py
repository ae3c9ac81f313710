"""The units of generation: a shard for each source shard, k and variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.engine import Plan, WorkUnit
from pipeline.stages.reading import split_of


def shard_name(source: str, k: int, variant: int) -> str:
    """`train-000003` at k = 5 in variant 1 becomes `train-k05-v01-000003`."""
    split, _, index = source.rpartition("-")
    return f"{split}-k{k:02d}-v{variant:02d}-{index}"


def shard_names(
    sources: Sequence[str], splits: Sequence[str], ks: Sequence[int], variants: int
) -> Iterator[tuple[str, str, int, int]]:
    """(shard, source shard, k, variant) of every unit; sources of one split first, then k, then variant."""
    for k in ks:
        for variant in range(variants):
            for source in sources:
                if split_of(source) in splits:
                    yield shard_name(source, k, variant), source, k, variant


def generation_units(
    shards: Mapping[str, tuple[str, ...]], splits: Sequence[str], ks: Sequence[int], variants: int
) -> Plan:
    """One unit for each source shard, k and variant: more ks or variants add shards and change none."""
    return Plan.of(
        WorkUnit(name, shards[source], {"k": k, "variant": variant})
        for name, source, k, variant in shard_names(list(shards), splits, ks, variants)
    )
