"""Expressions of arms: what is written is what is meant, and mistakes are one line."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from downstream.arms import FLAGS, PSEUDO, RARE, RAW, SOURCES, Arm, Phase, Term, baseline_of, parse_arm
from downstream.options import DownstreamOptions, mix_weights

decimals = st.integers(1, 10**7).map(lambda number: Fraction(number, 10**4))
percents = st.integers(1, 10**4 - 1).map(lambda number: Fraction(number, 100))
columns = st.sampled_from(["k", "variant", "weather", "time_of_day"])
values = st.text("abcXYZ019 ./_-+>*%", min_size=1, max_size=8).map(str.strip).filter(bool)
filters = st.dictionaries(columns, st.sets(values, min_size=1, max_size=3), max_size=3).map(
    lambda where: tuple(sorted((column, tuple(sorted(found))) for column, found in where.items()))
)


@st.composite
def terms(draw: st.DrawFn, percent: Fraction | None) -> Term:
    source = draw(st.sampled_from(SOURCES))
    flags = draw(st.frozensets(st.sampled_from(FLAGS)))
    if source == "real":
        flags -= {RAW, PSEUDO}
    if PSEUDO in flags:
        flags -= {RAW, RARE}
    own = draw(st.sampled_from([None, percent])) if PSEUDO not in flags else draw(st.none() | percents)
    return Term(source, draw(decimals), own, draw(filters), flags)


@st.composite
def phases(draw: st.DrawFn, percent: Fraction | None) -> tuple[Term, ...]:
    found = draw(st.lists(terms(percent), min_size=1, max_size=3, unique_by=lambda term: term.data))
    return tuple(sorted(found, key=lambda term: SOURCES.index(term.source)))


@st.composite
def arms(draw: st.DrawFn) -> Arm:
    percent = draw(st.none() | percents)
    mixed = draw(st.lists(phases(percent), min_size=1, max_size=3))
    shares: list[Fraction | None] = [draw(st.none() | st.integers(1, 40).map(Fraction)) for _ in mixed]
    shares[-1] = None
    return Arm(tuple(Phase(found, share) for found, share in zip(mixed, shares, strict=True)))


@given(arms())
def test_an_arm_is_parsed_from_what_it_is_written_as(arm: Arm) -> None:
    assert parse_arm(str(arm)) == arm
    assert sum(arm.shares) == 1
    assert baseline_of(baseline_of(str(arm))) == baseline_of(str(arm))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (" real + 0.50 * synthetic ", "real+0.5*synthetic"),
        ("synthetic+real", "real+synthetic"),
        ("real[100%]", "real"),
        ("synthetic[raw, k = 5 | 1]", "synthetic[k=1|5,raw]"),
        ("synthetic@30%>real[augmented]", "synthetic@30% > real[augmented]"),
        ("synthetic[weather=partly cloudy]", "synthetic[weather=partly cloudy]"),
    ],
)
def test_one_way_to_write_it(written: str, meant: str) -> None:
    assert str(parse_arm(written)) == meant


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("rael", "did you mean 'real'"),
        ("real[agumented]", "did you mean 'augmented'"),
        ("real[raw]", r"write synthetic\[raw\]"),
        ("real[split=val]", "decides what is held out"),
        ("synthetic[source_key=val_1]", "decides what is held out"),
        ("real[k=]", "gives no values"),
        ("real[0%]", "above 0 and at most 100 %"),
        ("real[10%]+synthetic[20%]", "give one share"),
        ("real@30%", "do not sum to 100 %"),
        ("real@60% > synthetic@60% > real", "do not sum to 100 %"),
        ("real[10%]+2*real[10%]", r"as in 2\*real\[10%\]"),
        ("synthetic[raw,pseudo]", "leave 'raw' out"),
        ("real[", "is none of its terms"),
    ],
)
def test_mistakes_are_a_line_with_what_would_be_right(wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=right) as error:
        parse_arm(wrong)
    assert str(error.value).startswith(f"{wrong!r} is no mix: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arm", "baseline"),
    [
        ("real", "real"),
        ("synthetic[k=5]", "real"),
        ("real[augmented]", "real"),
        ("real[10%]+synthetic[raw]", "real[10%]"),
        ("synthetic[pseudo,100%] > real[rare,5%]", "real[5%]"),
        ("real[weather=clear]+synthetic[weather=fog]", "real[weather=clear]"),
    ],
)
def test_an_arm_is_measured_against_its_real_images_alone(arm: str, baseline: str) -> None:
    assert baseline_of(arm) == baseline
    assert (str(parse_arm(arm)) == baseline_of(arm)) == (arm == baseline)


def test_weights_of_phases_are_shares_of_all_samples() -> None:
    assert mix_weights("synthetic@30% > real+synthetic[raw]") == {"real": 0.35, "synthetic": 0.65}
    assert mix_weights("real") == {"real": 1.0}


@given(arms(), st.integers(10, 2000))
def test_phases_share_the_iterations(arm: Arm, iterations: int) -> None:
    bounds = arm.bounds(iterations)
    assert (bounds[0], bounds[-1]) == (0, iterations)
    for share, begin, end in zip(arm.shares, bounds, bounds[1:], strict=False):
        assert abs(end - begin - share * iterations) <= 1


def test_mixes_that_are_the_same_or_have_an_empty_phase_are_refused() -> None:
    with pytest.raises(ValidationError, match=re.escape("'real' and 'real[100%]' are the same")):
        DownstreamOptions(mixes=("real", "real[100%]"))
    with pytest.raises(ValidationError, match=r"no whole step in downstream\.iterations=20"):
        DownstreamOptions(mixes=("synthetic@1% > real",), iterations=20)
