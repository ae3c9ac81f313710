"""The units of generation: a shard for each source shard, k and variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

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
    shards: Mapping[str, tuple[str, ...]],
    splits: Sequence[str],
    ks: Sequence[int],
    variants: int,
    own: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    """One unit for each source shard, k and variant: more ks or variants add shards and change none.

    Args:
        shards: keys of each source shard.
        splits: of the sources to take.
        ks: numbers of components.
        variants: of each source.
        own: variants of some sources instead; a shard has those of its sources with so many, and is left out without.
    """
    most = max(variants, *own.values()) if own else variants
    units = []
    for name, source, k, variant in shard_names(list(shards), splits, ks, most):
        keys = tuple(key for key in shards[source] if variant < own.get(key, variants))
        if keys:
            units.append(WorkUnit(name, keys, {"k": k, "variant": variant}))
    return Plan.of(units)
