"""What is generated of a source depends on the source, k and variant, and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from augment.layouts.region_ks import RegionKs, RegionStrengths
from augment.lumen.sampling.options import SamplerOptions
from augment.prompts import PromptOptions
from pipeline.engine import Failed, Ok, Resources, WorkUnit
from pipeline.stages.descriptions import content_attributes
from pipeline.stages.generation_units import generation_units
from pipeline.stages.paint_request import Provenance
from pipeline.stages.painting import Generate
from pipeline.stages.seeds import stable_seed
from pipeline.store import Sample

KS = st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True)
SHARDS = {"train-000000": ("a", "b"), "train-000001": ("c",), "val-000000": ("d",)}


@given(KS, KS, st.integers(1, 4), st.integers(1, 4))
def test_plan_for_more_contains_the_plan_for_less(ks: list[int], others: list[int], few: int, more: int) -> None:
    small = generation_units(SHARDS, ["train", "val"], ks, few)
    union = [*others, *(k for k in ks if k not in others)]
    large = {unit.shard: unit for unit in generation_units(SHARDS, ["val", "train"], union, few + more)}
    assert all(large[unit.shard].fingerprint == unit.fingerprint for unit in small)
    assert len({unit.shard for unit in small}) == len(small) == 3 * len(ks) * few


def test_plan_leaves_out_splits_that_are_not_requested() -> None:
    assert {unit.keys for unit in generation_units(SHARDS, ["val"], [5], 1)} == {("d",)}


def test_sources_with_numbers_of_their_own_are_in_as_many_shards_and_others_in_the_usual_number() -> None:
    units = generation_units(SHARDS, ["train", "val"], [5], 2, {"a": 3, "c": 0})
    assert {unit.shard: unit.keys for unit in units} == {
        "train-k05-v00-000000": ("a", "b"),
        "val-k05-v00-000000": ("d",),
        "train-k05-v01-000000": ("a", "b"),
        "val-k05-v01-000000": ("d",),
        "train-k05-v02-000000": ("a",),
    }


@given(st.tuples(st.text("ab\\0", max_size=4), st.integers(0, 99), st.integers(0, 99)))
def test_seeds_are_stable_and_in_range(parts: tuple[str, int, int]) -> None:
    assert 0 <= stable_seed(*parts) < 2**63
    assert stable_seed(*parts) == stable_seed(*parts)


def test_seed_is_the_same_on_every_machine() -> None:
    assert stable_seed("noise", 0, "train_a", 5, 1) == 1246409927918042270


DOMAINS = {"weather": ("fog", "rain", "snow"), "time_of_day": ("day", "night")}


def stage(base: Path, classes: tuple[str, ...] = (), **prompts: object) -> Generate:
    settings: dict[str, object] = {
        "prompts": PromptOptions(**{"domains": DOMAINS, **prompts}),  # type: ignore[arg-type]
        "classes": classes,
        "base": str(base),
        "adapter": str(base / "adapter"),
        "sampling": SamplerOptions(num_steps=2, precision="fp32"),
        "seed": 0,
        "provenance": Provenance("small", "1" * 64, "2" * 64),
        "device": "cpu",
        "resources": Resources(),
        "batch_size": 4,
    }
    return Generate(**settings)  # type: ignore[arg-type]


def source(key: str) -> Sample:
    draws = np.random.default_rng(stable_seed(key))
    metadata = {"medium": "rendered", "weather": "clear", "dataset": "d", "split": "train", "source": "x.png"}
    layout = draws.normal(size=(4, 4, 8)).astype(np.float16)
    return Sample(key, label=draws.integers(0, 19, (32, 64)).astype(np.uint8), layout=layout, metadata=metadata)


@pytest.fixture(scope="module")
def ready(small_base: Path) -> Generate:
    made = stage(small_base)
    made.setup()
    return made


def test_image_does_not_depend_on_its_batch(ready: Generate) -> None:
    unit = WorkUnit("train-k04-v01-000000", (), {"k": 4, "variant": 1})
    batch = [source(name) for name in "abc"]
    together = ready.process(unit, batch)
    alone = ready.process(unit, batch[1:2])
    assert isinstance(together[1], Ok) and isinstance(alone[0], Ok)
    assert together[1].sample.metadata == alone[0].sample.metadata
    difference = together[1].sample.image.astype(int) - alone[0].sample.image.astype(int)  # type: ignore[union-attr]
    # Sums in another order may round the last level another way.
    assert np.abs(difference).max() <= 1


def test_label_is_passed_on(ready: Generate) -> None:
    (outcome,) = ready.process(WorkUnit("train-k01-v00-000000", (), {"k": 1, "variant": 0}), [source("a")])
    assert isinstance(outcome, Ok)
    assert outcome.sample.key == "a_k01_v00"
    np.testing.assert_array_equal(outcome.sample.label, source("a").label)


def test_image_says_what_it_was_meant_to_show(ready: Generate) -> None:
    unit = WorkUnit("train-k01-v00-000000", (), {"k": 1, "variant": 0})
    given = replace(source("a"), metadata={**source("a").metadata, "city": "ulm"})
    (outcome,) = ready.process(unit, [given])
    assert isinstance(outcome, Ok)
    shown = content_attributes(outcome.sample)
    assert shown == {"medium": "synthetic", "city": "ulm", "weather": ANY, "time_of_day": ANY}
    # The source is clear, and the prompt asks for something else.
    assert f"{shown['time_of_day']}, {shown['weather']}" in str(outcome.sample.metadata["prompt"])


def test_strengths_of_classes_are_those_of_the_cells_of_the_label(small_base: Path) -> None:
    label = np.zeros((32, 64), np.uint8)
    label[:, 32:] = 10
    given = replace(source("a"), label=label)
    made = replace(stage(small_base), strengths=RegionStrengths({10: 0.5}), regions=RegionKs({10: 1}))
    request = made.request(given, 4, 0).request
    np.testing.assert_array_equal(request.strength, np.repeat([[1, 0.5]], 4, 1).repeat(4, 0))
    np.testing.assert_array_equal(request.k, np.repeat([[4, 1]], 4, 1).repeat(4, 0))
    assert made.request(replace(given, label=None), 4, 0).request.strength == 1
    assert stage(small_base).request(given, 4, 0).request.strength == 1


def test_prompt_depends_on_source_and_variant_but_not_on_k(small_base: Path) -> None:
    made = stage(small_base)
    prompts = {(key, v): made.request(source(key), 1, v).request.prompt for key in "abcdefgh" for v in range(8)}
    assert len(set(prompts.values())) == 6
    assert all(prompt.startswith("a rendered street, ") and "clear" not in prompt for prompt in prompts.values())
    assert all(made.request(source(key), 4, v).request.prompt == prompt for (key, v), prompt in prompts.items())
    seeds = {made.request(source(key), k, v).request.seed for key in "abcd" for k in (0, 1, 4) for v in range(4)}
    assert len(seeds) == 4 * 3 * 4


def test_unknown_name_in_a_template_is_the_users_mistake(small_base: Path) -> None:
    with pytest.raises(UserError, match="season"):
        stage(small_base, templates=("a street in {season}",)).request(source("a"), 1, 0)


def described(made: Generate, **changes: object) -> set[str]:
    """All prompts for one source with its metadata changed, over many variants."""
    sample = source("a")
    changed = replace(sample, metadata={**sample.metadata, **changes})  # type: ignore[dict-item]
    return {made.request(changed, 1, variant).request.prompt for variant in range(20)}


def test_prompt_is_one_of_the_samples_captions(small_base: Path) -> None:
    captions = ["a cat on a bed", "two cats"]
    assert described(stage(small_base, domains={}), captions=captions) == set(captions)
    templates = ("{caption}, {weather}",)
    expected = described(stage(small_base, domains={}, templates=templates), captions=["a cat"], weather="rain")
    assert expected == {"a cat, rain"}


def test_prompt_names_the_largest_classes_where_nothing_else_is_known(small_base: Path) -> None:
    label = np.array([[3] * 6 + [255] * 9, [0] * 8 + [1] * 7], np.uint8)
    sample = Sample("a", label=label, layout=source("a").layout, metadata={"medium": "photo"})
    made = stage(small_base, domains={}, classes=("wall", "bed", "sea", "lamp"))
    assert made.request(sample, 1, 0).request.prompt == "a photo with wall, bed, lamp"


def test_template_may_name_the_city(small_base: Path) -> None:
    made = stage(small_base, domains={}, templates=("{caption}, in {city}",))
    assert described(made, medium="photo", weather="", city="ulm") == {"a photo of a street, in ulm"}


CAPTION = "a group of people are standing at a crossing in front of a large red bus"
UNIT = WorkUnit("train-k04-v00-000000", (), {"k": 4, "variant": 0})


@pytest.mark.parametrize(
    ("domains", "said"),
    [({"time_of_day": ("night",), "weather": ("rain",)}, "night, rain"), ({"time_of_day": ("day",)}, "day")],
)
def test_long_caption_is_shortened_and_what_was_chosen_is_encoded(
    small_base: Path, domains: dict[str, tuple[str, ...]], said: str
) -> None:
    made = stage(small_base, domains=domains)
    made.setup()
    given = source("a")
    described = replace(given, metadata={**given.metadata, "captions": [CAPTION]})
    [long] = made.process(UNIT, [described])
    assert isinstance(long, Ok)
    prompt = str(long.sample.metadata["prompt"])
    assert prompt.endswith(said) and CAPTION not in prompt
    assert long.sample.metadata["prompt_shortened"] is True
    assert long.notes[0] == "prompt shortened to the 12 tokens that the text encoder takes"
    # The prompt of the metadata is what the image was painted from.
    assert made.sampler.base.prompt_limit.fits(prompt)
    again = made.sampler.generate([replace(made.request(described, 4, 0).request, prompt=prompt)])
    np.testing.assert_array_equal(again[0], long.sample.image)


def test_prompt_that_fits_is_as_it_was(ready: Generate) -> None:
    [short] = ready.process(UNIT, [source("a")])
    assert isinstance(short, Ok)
    assert "prompt_shortened" not in short.sample.metadata
    assert short.notes == ()


def test_sample_that_makes_a_prompt_too_long_is_quarantined_and_the_others_are_painted(small_base: Path) -> None:
    made = stage(small_base, domains={}, templates=("{caption} in {city}",))
    made.setup()
    cities = {"a": "ulm", "b": "a town of an extraordinarily long name", "c": "bonn"}
    batch = [replace(source(key), metadata={**source(key).metadata, "city": city}) for key, city in cities.items()]
    failed, *others = made.process(UNIT, batch)
    assert isinstance(failed, Failed)
    assert failed.key == "b"
    assert failed.reason.startswith("prompt too long: the text encoder takes 12 tokens")
    assert [outcome.sample.metadata["source_key"] for outcome in others if isinstance(outcome, Ok)] == ["a", "c"]


def test_variants_have_the_guidance_scales_in_turn_and_say_so(ready: Generate) -> None:
    scaled = replace(ready, guidance_scales=(1.5, 3.0))
    found = [scaled.request(source("a"), 4, variant).request.guidance_scale for variant in range(4)]
    assert found == [1.5, 3.0, 1.5, 3.0]
    (outcome,) = scaled.process(WorkUnit("train-k04-v01-000000", (), {"k": 4, "variant": 1}), [source("a")])
    (plain,) = ready.process(WorkUnit("train-k04-v01-000000", (), {"k": 4, "variant": 1}), [source("a")])
    assert isinstance(outcome, Ok) and isinstance(plain, Ok)
    assert outcome.sample.metadata == {**plain.sample.metadata, "guidance_scale": 3.0}
    assert (outcome.sample.image != plain.sample.image).any()
