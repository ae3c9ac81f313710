"""What a run would do and what it has done, as figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from augment import units
from augment.text_table import aligned
from pipeline.engine import top_reasons
from pipeline.stages.step import StageName, Step
from pipeline.stages.store_step import StoreStep
from pipeline.store import Failure, Store, Totals
from pipeline.workflow.survey import Standing, survey_so_far


@dataclass(frozen=True)
class Row:
    """How far a stage is.

    Attributes:
        stage: its name.
        units, units_done: work units: shards of a store, trainings, or artifacts; the total is None if unknown.
        samples, samples_done: samples of a stage that writes a store; the total is None if unknown.
        failed, dropped: samples that were quarantined, and left out on purpose.
        bytes: size of the existing shards.
        seconds: worker time that they took.
        done: whether a run would do nothing.
        waits_for: the stage that must be done before it is known whether the results of this one are still valid;
            until then they do not count as done.
        failure_reasons, drop_reasons: failed and dropped samples by kind of reason.
        failure: a quarantined sample, with its key and whole reason.
        unknown: why the totals are unknown, or None.
        unchecked: why the results could not be compared with what is requested, or None.
        refused: why a run would refuse the results, or None.
    """

    stage: StageName
    units: int | None
    units_done: int
    samples: int | None
    samples_done: int
    failed: int
    dropped: int
    bytes: int
    seconds: float
    done: bool = False
    waits_for: StageName | None = None
    failure_reasons: Mapping[str, int] = field(default_factory=dict)
    drop_reasons: Mapping[str, int] = field(default_factory=dict)
    failure: Failure | None = None
    unknown: str | None = None
    unchecked: str | None = None
    refused: str | None = None

    @property
    def units_left(self) -> int | None:
        """Work units that a run would do; an upper bound if the stage ``waits_for`` another, None if unknown."""
        return 0 if self.done else None if self.units is None else self.units - self.units_done

    @property
    def rate(self) -> float | None:
        """Samples per second and worker."""
        return self.samples_done / self.seconds if self.seconds and self.samples_done else None

    @property
    def seconds_left(self) -> float | None:
        """Worker time for the rest at the rate so far."""
        if self.done:
            return None
        return max(0, self.samples - self.handled) / self.rate if self.rate and self.samples is not None else None

    @property
    def bytes_expected(self) -> int | None:
        """Bytes of the whole store at the mean size so far."""
        if self.samples is None or not self.samples_done:
            return None
        return round(self.bytes / self.samples_done * self.samples)

    @property
    def handled(self) -> int:
        """Samples that need no more work."""
        return self.samples_done + self.failed + self.dropped

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        derived = {
            "units_left": self.units_left,
            "rate": self.rate,
            "seconds_left": self.seconds_left,
            "bytes_expected": self.bytes_expected,
        }
        return {**asdict(self), **derived}


def progress_so_far(steps: Sequence[Step]) -> list[Row]:
    """A row for every stage, without totals if they are unknown, as without the dataset."""
    return rows_of(survey_so_far(steps))


def rows_of(standings: Sequence[Standing]) -> list[Row]:
    """A row for each step."""
    return [row_of(standing) for standing in standings]


def row_of(standing: Standing) -> Row:
    step, size = standing.step, standing.size
    # An artifact has units alone.
    made = Totals(shards=standing.made) if isinstance(standing.made, int) else standing.made
    return Row(
        step.name,
        size.units if size else None,
        made.shards,
        size.samples if size else None,
        made.samples,
        made.failures,
        made.dropped,
        made.bytes,
        round(made.seconds, 3),
        done=standing.done,
        waits_for=standing.blocked_by if standing.unsettled else None,
        failure_reasons=made.failure_reasons,
        drop_reasons=made.drop_reasons,
        failure=Store.open(step.url).example_failure() if isinstance(step, StoreStep) and made.failures else None,
        unknown=standing.unknown or None,
        unchecked=standing.unchecked or None,
        refused=standing.refused or None,
    )


def plan_table(rows: Sequence[Row]) -> list[str]:
    """Lines of the table of `lumen plan`."""
    header = ("stage", "units", "done", "left", "samples", "done", "bytes", "worker time left")
    lines = aligned(
        [
            header,
            *(
                (
                    row.stage,
                    known(row.units),
                    str(row.units_done),
                    left(row),
                    count(row.samples),
                    count(row.samples_done),
                    size_text(row.bytes_expected),
                    duration(row.seconds_left),
                )
                for row in rows
            ),
        ]
    )
    return lines + waiting(rows)


def status_table(rows: Sequence[Row], remedies: Mapping[StageName, str]) -> list[str]:
    """Lines of the table of `lumen status`, with why samples failed and the remedy of each stage."""
    header = ("stage", "units", "samples", "failed", "dropped", "samples/s a worker", "bytes", "worker time left")
    lines = aligned(
        [
            header,
            *(
                (
                    row.stage,
                    f"{'?' if row.waits_for else row.units_done}/{known(row.units)}",
                    f"{row.samples_done}/{known(row.samples)}" if row.samples != 0 else "-",
                    count(row.failed),
                    count(row.dropped),
                    f"{row.rate:.3g}" if row.rate else "-",
                    size_text(row.bytes or None),
                    duration(row.seconds_left),
                )
                for row in rows
            ),
        ]
    )
    unknown = dict.fromkeys(row.unknown for row in rows if row.unknown)
    unchecked = dict.fromkeys(row.unchecked for row in rows if row.unchecked and row.unchecked not in unknown)
    lines += [f"?: unknown: {reason}" for reason in unknown]
    lines += [f"not compared with the configuration: {stages_with(rows, reason)}: {reason}" for reason in unchecked]
    lines += waiting(rows)
    lines += [f"{row.stage}: a run would refuse this: {row.refused}" for row in rows if row.refused]
    lines += [
        f"{row.stage}: every unit is done, but not the result that is made from them" for row in rows if unfinished(row)
    ]
    for row in rows:
        if row.failed:
            reasons = f"{row.failed} quarantined ({top_reasons(row.failure_reasons)}), such as {row.failure}"
            lines.append(f"{row.stage}: {reasons}; {remedies[row.stage]}")
        if row.dropped:
            lines.append(f"{row.stage}: {row.dropped} dropped ({top_reasons(row.drop_reasons)})")
    return lines


def stages_with(rows: Sequence[Row], unchecked: str) -> str:
    return ", ".join(row.stage for row in rows if row.unchecked == unchecked)


def left(row: Row) -> str:
    """How many units a run would do, for the table."""
    if row.waits_for:
        return "?"
    return "-" if row.done else "table" if unfinished(row) else known(row.units_left)


def unfinished(row: Row) -> bool:
    """Whether all units are done, but not the result that is made from them, such as the table of trainings."""
    return not row.done and row.units_left == 0 and not row.unknown and not row.waits_for


def waiting(rows: Sequence[Row]) -> list[str]:
    """A line for each stage that decides whether the results of others are still valid."""
    stages = dict.fromkeys(row.waits_for for row in rows if row.waits_for)
    return [
        f"?: whether the results of {', '.join(row.stage for row in rows if row.waits_for == stage)} are still valid "
        f"is known when {stage} is done"
        for stage in stages
    ]


def count(number: int | None) -> str:
    return str(number) if number else "-"


def known(number: int | None) -> str:
    return "?" if number is None else str(number)


def size_text(size: int | None) -> str:
    """A number of bytes, or a dash if it is unknown."""
    return "-" if size is None else units.size_text(size)


def duration(seconds: float | None) -> str:
    """A time span, or a dash if it is unknown."""
    return "-" if seconds is None else units.duration_text(seconds)
