"""Expressions for what a segmenter is trained on, such as `synthetic@30% > real[10%]+0.5*real[augmented]`.

docs/arms.md has the grammar. No torch here: the configuration reads expressions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

REAL, SYNTHETIC = SOURCES = ("real", "synthetic")
RAW, PSEUDO, AUGMENTED, RARE = FLAGS = ("raw", "pseudo", "augmented", "rare")
_OF_SYNTHETIC = (RAW, PSEUDO)
# Columns that decide what may be trained on, which no filter may change.
_RESERVED = ("split", "key", "shard", "source_key")
# So short that a number is the same after it is written and read again.
_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_TERM = re.compile(rf"(?:({_NUMBER})\s*\*\s*)?([A-Za-z_]\w*)\s*(?:\[([^\[\]]*)\])?")
_PHASE = re.compile(rf"(.*?)(?:@\s*({_NUMBER})\s*%)?", re.DOTALL)
_PERCENT = re.compile(rf"({_NUMBER})\s*%")
_FILTER = re.compile(r"([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)
_EXAMPLE = "'real+0.5*synthetic', 'real[10%]+synthetic[k=5,raw]' or 'synthetic@30% > real'"


@dataclass(frozen=True)
class Term:
    """Images of one source.

    Attributes:
        source: `real` or `synthetic`.
        weight: how often they are sampled, compared with the other terms.
        percent: share of the labelled training images, above 0 and at most 100; None is that of the arm.
        where: metadata column -> the values to keep, each as text.
        flags: those of `FLAGS` that hold.
    """

    source: str
    weight: Fraction = Fraction(1)
    percent: Fraction | None = None
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    flags: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return ("" if self.weight == 1 else f"{_decimal(self.weight)}*") + self.data

    @property
    def data(self) -> str:
        """The term without its weight."""
        items = [] if self.percent is None else [f"{_decimal(self.percent)}%"]
        items += [f"{column}={'|'.join(values)}" for column, values in self.where]
        items += [flag for flag in FLAGS if flag in self.flags]
        return f"{self.source}[{','.join(items)}]" if items else self.source


@dataclass(frozen=True)
class Phase:
    """Terms that are mixed for a part of the training.

    Attributes:
        terms: at least one, real ones first.
        share: percent of the iterations; None is an equal part of what the other phases leave.
    """

    terms: tuple[Term, ...]
    share: Fraction | None = None

    def __str__(self) -> str:
        share = "" if self.share is None else f"@{_decimal(self.share)}%"
        return "+".join(map(str, self.terms)) + share


@dataclass(frozen=True)
class Arm:
    """All that one segmenter is trained on, in the order of its phases. `str` gives an expression that parses to it."""

    phases: tuple[Phase, ...]

    def __str__(self) -> str:
        return " > ".join(map(str, self.phases))

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of all phases."""
        return tuple(term for phase in self.phases for term in phase.terms)

    @property
    def is_simple(self) -> bool:
        """Whether it is one mix of all real and all curated images, which needs two weights and nothing else."""
        return len(self.phases) == 1 and all(term.data == term.source for term in self.terms)

    @property
    def percent(self) -> Fraction | None:
        """Percent of the labelled training images whose labels are used; None for all."""
        return next((term.percent for term in self.terms if term.percent and PSEUDO not in term.flags), None)

    def percent_of(self, term: Term) -> Fraction | None:
        """Percent of the labelled training images that a term takes, or was made from; None for all."""
        found = self.percent if term.percent is None else term.percent
        return None if found == 100 else found

    def uses(self, *flags: str) -> bool:
        """Whether one of these flags holds for a term."""
        return any(term.flags & set(flags) for term in self.terms)

    @property
    def uses_curated(self) -> bool:
        """Whether images of the curated store are trained on."""
        return any(term.source == SYNTHETIC and not term.flags & {RAW, PSEUDO} for term in self.terms)

    @property
    def uses_raw(self) -> bool:
        """Whether images of the synthetic store are trained on, as they were painted."""
        return self.uses(RAW, PSEUDO)

    @property
    def uses_synthetic(self) -> bool:
        """Whether any synthetic image is trained on."""
        return self.uses_curated or self.uses_raw

    @property
    def shares(self) -> tuple[Fraction, ...]:
        """The share of the iterations of each phase, 0..1; they sum to 1."""
        given = sum((phase.share for phase in self.phases if phase.share is not None), Fraction(0))
        open_ = sum(phase.share is None for phase in self.phases)
        return tuple(((100 - given) / open_ if phase.share is None else phase.share) / 100 for phase in self.phases)

    def bounds(self, iterations: int) -> tuple[int, ...]:
        """The iteration, counted from 0, at which each phase begins, and the number of all iterations."""
        begun = Fraction(0)
        bounds = [0]
        for share in self.shares:
            begun += share
            bounds.append(round(begun * iterations))
        return tuple(bounds)

    def weight_of(self, source: str) -> Fraction:
        """The weight of a source: as written in a single phase, else its share of all samples."""
        if len(self.phases) == 1:
            return sum((term.weight for term in self.terms if term.source == source), Fraction(0))
        parts = Fraction(0)
        for phase, share in zip(self.phases, self.shares, strict=True):
            total = sum(term.weight for term in phase.terms)
            parts += share * sum((t.weight for t in phase.terms if t.source == source), Fraction(0)) / total
        return parts


def parse_arm(expression: str) -> Arm:
    """The arm that an expression describes.

    Raises:
        ValueError: it is no expression of the grammar, or says something that cannot be; the message is one line with
            what would be right.
    """

    def wrong(reason: str) -> ValueError:
        return ValueError(f"{expression!r} is no mix: {reason}")

    phases = tuple(_phase(text, wrong) for text in _split(expression, ">"))
    shares = [phase.share for phase in phases]
    given = sum((share for share in shares if share is not None), Fraction(0))
    if given > 100 or (None in shares) == (given == 100):
        raise wrong("the shares of the iterations do not sum to 100 %: leave one out, and it takes the rest")
    arm = Arm(phases)
    percents = {term.percent for term in arm.terms if term.percent is not None and PSEUDO not in term.flags}
    if len(percents) > 1:
        raise wrong(
            f"it takes both {' and '.join(f'{_decimal(p)}%' for p in sorted(percents))} of the labels: give one share; "
            "it holds for all terms, and only 'synthetic[pseudo]' may have another"
        )
    return arm


def baseline_of(expression: str) -> str:
    """The arm that an arm is measured against: its real images, each sampled as often, and nothing else.

    `real`, or such as `real[10%]` and `real[weather=clear]`.
    """
    arm = parse_arm(expression)
    chosen = {term.where for term in arm.terms if term.source == REAL}
    where = chosen.pop() if len(chosen) == 1 else ()
    return str(Term(REAL, percent=arm.percent, where=where))


def number_text(number: float) -> str:
    """A number as a filter has it: whole ones without decimals."""
    return str(int(number) if float(number).is_integer() else float(number))


def _phase(text: str, wrong: Callable[[str], ValueError]) -> Phase:
    match = _PHASE.fullmatch(text.strip())
    assert match is not None
    share = None if match[2] is None else Fraction(match[2])
    if share is not None and not 0 < share <= 100:
        raise wrong(f"@{match[2]}% is no share of the iterations: give more than 0 and at most 100 %")
    terms = sorted((_term(part, wrong) for part in _split(match[1], "+")), key=lambda term: SOURCES.index(term.source))
    for number, term in enumerate(terms):
        if term.data in (other.data for other in terms[:number]):
            raise wrong(f"{term.data} is there twice: give it one weight, as in 2*{term.data}")
    return Phase(tuple(terms), share)


def _term(text: str, wrong: Callable[[str], ValueError]) -> Term:
    match = _TERM.fullmatch(text.strip())
    if match is None:
        raise wrong(f"{text.strip()!r} is none of its terms: join terms with '+' and phases with '>', as in {_EXAMPLE}")
    weight, source, inside = Fraction(match[1] or 1), match[2], match[3]
    if source not in SOURCES:
        raise wrong(f"{source!r} is unknown: {_nearest(source, SOURCES)}, as in {_EXAMPLE}")
    if weight == 0:
        raise wrong(f"the weight of {source} is 0: leave it out")
    percent: Fraction | None = None
    where: dict[str, tuple[str, ...]] = {}
    flags: set[str] = set()
    for item in [] if inside is None else [part.strip() for part in inside.split(",")]:
        if found := _PERCENT.fullmatch(item):
            if percent is not None or not 0 < Fraction(found[1]) <= 100:
                raise wrong(f"{source} takes one share of the labels, above 0 and at most 100 %")
            percent = Fraction(found[1])
        elif found := _FILTER.fullmatch(item):
            where |= _filter(found[1], found[2], where, wrong)
        elif item in FLAGS and item not in flags:
            flags.add(item)
        else:
            raise wrong(
                f"{item!r} in the brackets of {source} is unknown: {_nearest(item, FLAGS)}, a share of the labels such "
                "as 10%, or a filter such as k=5"
            )
    _check_flags(source, flags, wrong)
    if percent == 100 and PSEUDO not in flags:
        percent = None
    return Term(source, weight, percent, tuple(sorted(where.items())), frozenset(flags))


def _filter(
    column: str, text: str, known: dict[str, tuple[str, ...]], wrong: Callable[[str], ValueError]
) -> dict[str, tuple[str, ...]]:
    values = [value.strip() for value in text.split("|")]
    if column in _RESERVED:
        raise wrong(f"{column!r} decides what is held out, and cannot be chosen: filter by k, variant or an attribute")
    if column in known:
        raise wrong(f"{column!r} is there twice: give all of its values at once, as in {column}=A|B")
    if not all(values) or any("=" in value or "@" in value for value in values):
        raise wrong(f"{column}={text.strip()} gives no values: separate them by '|', as in k=1|5")
    return {column: tuple(sorted(set(values)))}


def _check_flags(source: str, flags: set[str], wrong: Callable[[str], ValueError]) -> None:
    if source == REAL and (flag := next((flag for flag in _OF_SYNTHETIC if flag in flags), None)):
        raise wrong(f"'{flag}' is for synthetic images: write synthetic[{flag}]")
    if {RAW, PSEUDO} <= flags:
        raise wrong("'pseudo' takes the raw images already: leave 'raw' out")
    if {RARE, PSEUDO} <= flags:
        raise wrong("'rare' counts the classes of labels, which 'pseudo' does not use: leave one out")


def _split(text: str, separator: str) -> Iterator[str]:
    """The parts between separators outside of brackets."""
    depth, start = 0, 0
    for at, sign in enumerate(text):
        depth += {"[": 1, "]": -1}.get(sign, 0)
        if sign == separator and depth == 0:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"give one of {', '.join(map(repr, known))}"


def _decimal(number: Fraction) -> str:
    """A number that was written as a decimal, as that decimal."""
    exact = Decimal(number.numerator) / Decimal(number.denominator)
    return f"{exact.normalize():f}"
