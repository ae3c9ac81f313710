"""A run with edits, and with ks and strengths by class: its images, its manifest, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.config import Config
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.store import SampleReader, Store
from pipeline.workflow.run import outlook, run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workflow.verify import verify

Configure = Callable[..., Config]
EDIT = (
    "generate.edit={paste: {classes: [car], min_area: 32, cover: 0.3}, remove: {classes: [bus]},"
    " prototype: {classes: [road]}}"
)
BY_CLASS = "generate.k_by_class={sky: 0, car: 4}"
STRENGTHS = "generate.strength_by_class={sky: 0, car: 1.5, road: 1}"


def generated_again(space: Path, configure: Configure, *overrides: str) -> Store:
    run(configure(space, "generate.ks=[2]", *overrides), Selection(until="generate", redo="generate"), print)
    return Store.open(str(space / "synthetic"))


def test_edited_samples_have_edited_labels_and_say_what_was_done(copied: Path, configure: Configure) -> None:
    store = generated_again(copied, configure, EDIT, "generate.variants=2")
    real = SampleReader(Store.open(str(copied / "real")))
    operations = set()
    for sample in SampleReader(store).samples():
        source = real.read(str(sample.metadata["source_key"]))
        if sample.metadata["split"] == "val":
            assert np.array_equal(sample.label, source.label) and "edits" not in sample.metadata
            continue
        done = sample.metadata["edits"]
        assert isinstance(done, list)
        operations |= {one["operation"] for one in done if "skipped" not in one}
        moved = [one for one in done if one["operation"] != "prototype" and "skipped" not in one]
        assert np.array_equal(sample.label, source.label) == (not moved)
    assert operations == {"paste", "remove", "prototype"}
    assert store.manifest.inputs["edit"]["paste"]["classes"] == ["car"]  # type: ignore[index,call-overload]
    assert verify(str(copied)).faults == []


def test_ks_by_class_change_the_images_and_not_the_labels(copied: Path, configure: Configure) -> None:
    plain = {one.key: one for one in SampleReader(generated_again(copied, configure)).samples()}
    again = SampleReader(generated_again(copied, configure, BY_CLASS))
    assert set(again.keys) == set(plain)
    for sample in again.samples():
        assert sample.metadata == plain[sample.key].metadata
        assert np.array_equal(sample.label, plain[sample.key].label)
        assert not np.array_equal(sample.image, plain[sample.key].image)
    assert again.store.manifest.inputs["k_by_class"] == {"sky": 0, "car": 4}
    same = SampleReader(generated_again(copied, configure, "generate.k_by_class={sky: 2, car: 2}"))
    assert all(np.abs(one.image.astype(int) - plain[one.key].image).max() <= 1 for one in same.samples())  # type: ignore


def test_strengths_by_class_change_the_images_and_not_the_labels(copied: Path, configure: Configure) -> None:
    config = configure(copied, "generate.ks=[2]", "generate.strength_by_class={sky: 1}")
    run(config, Selection(until="generate", redo="generate"), print)
    # A factor of 1 changes nothing, so the store is that of a run without.
    assert Job(configure(copied, "generate.ks=[2]")).step(GenerateStep).is_done()
    plain = {one.key: one for one in SampleReader(Store.open(str(copied / "synthetic"))).samples()}
    together = (EDIT, BY_CLASS, STRENGTHS)
    for overrides in ((STRENGTHS,), together):
        again = SampleReader(generated_again(copied, configure, *overrides))
        assert again.store.manifest.inputs["strength_by_class"] == {"sky": 0, "car": 1.5}
        assert set(again.keys) == set(plain)
        for sample in again.samples():
            assert not np.array_equal(sample.image, plain[sample.key].image)
            if overrides != together:
                assert sample.metadata == plain[sample.key].metadata
                assert np.array_equal(sample.label, plain[sample.key].label)


def test_runs_without_edits_are_those_of_earlier_versions(generated: Path, configure: Configure) -> None:
    step = Job(configure(generated)).step(GenerateStep)
    asked = {"edit": EDIT, "k_by_class": BY_CLASS, "strength_by_class": STRENGTHS}
    assert step.is_done() and not asked.keys() & step.store.manifest.inputs.keys()
    for name, override in asked.items():
        with pytest.raises(UserError, match=f"generate.{name}.*--redo generate"):
            run(configure(generated, override), Selection(until="generate"), print)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["generate.edit={paste: {classes: [cat]}}"], "generate.edit.paste.classes: 'cat' is not among the classes of"),
        (["generate.k_by_class={cat: 1}"], "'cat' is not .* cityscapes: did you mean 'car'. the classes are road, "),
        (["generate.strength_by_class={cat: 1}"], "generate.strength_by_class: 'cat' is not .*: did you mean 'car'"),
        (["generate.strength_by_class={car: 2.5}"], "generate.strength_by_class.car.* less than or equal to 2"),
        (["generate.strength_by_class={car: .nan}"], "generate.strength_by_class.car"),
        (["generate.k_by_class={car: 5}"], "generate.k_by_class.car: 5 is above layout.k_max = 4"),
        (["conditioning=canny", "generate.edit={blend: {}}"], "generate.edit: it is for neural layouts; leave it out"),
        (["conditioning=canny", "generate.k_by_class={car: 1}"], "generate.k_by_class: it is for neural layouts"),
        (["generate.edit={}"], "give one of remove, prototype, blend and paste"),
        (["generate.edit={blend: {}, splits: [test]}"], "edit.splits names .'test'., which are not among the splits"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_removed(
    generated: Path, configure: Configure, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        run(configure(generated, *overrides), Selection(until="generate", redo="generate"), print)
    assert "\n" not in str(error.value)
    assert Store.open(str(generated / "synthetic")).is_whole()


def test_a_wrong_class_is_reported_before_results_of_other_inputs(generated: Path, configure: Configure) -> None:
    config = configure(generated, "generate.k_by_class={cat: 1}", "generator.num_steps=3")
    with pytest.raises(UserError, match=r"^generate\.k_by_class: 'cat' is not"):
        run(config, Selection(until="generate"), print)
    with pytest.raises(UserError, match=r"^generate\.k_by_class: 'cat' is not"):
        outlook(config, steps_of(config))


def test_class_that_never_occurs_is_refused_before_anything_is_painted(copied: Path, configure: Configure) -> None:
    with pytest.raises(UserError, match="'train' is in no label of train: name classes that occur") as error:
        generated_again(copied, configure, "generate.edit={paste: {classes: [train]}}")
    assert "\n" not in str(error.value)


def test_what_was_found_for_other_classes_is_not_used(copied: Path, configure: Configure) -> None:
    generated_again(copied, configure, "generate.edit={remove: {classes: [car]}}")
    shutil.rmtree(copied / "synthetic")
    config = configure(copied, "generate.ks=[2]", "generate.edit={remove: {classes: [train]}}")
    with pytest.raises(UserError, match=r"edits was made from other inputs \(generate.edit.remove: .*--redo generate"):
        run(config, Selection(until="generate"), print)
