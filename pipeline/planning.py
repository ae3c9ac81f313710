"""What a run would do and what has been done: read from configuration and receipts, changing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from augment.errors import UserError
from pipeline.config import StageName
from pipeline.engine.budget import top_reasons
from pipeline.steps import Size, Step


@dataclass(frozen=True)
class Row:
    """How far a stage is.

    Attributes:
        stage: its name.
        units, units_done: work units: shards of a store, or artifacts; None in all is not known.
        samples, samples_done: samples, where the stage writes a store; None in all is not known.
        failed, dropped: samples quarantined, and left out on purpose.
        bytes: of the shards there are.
        seconds: worker time that they took.
        failure_reasons: quarantined samples by kind of reason.
        unknown: why it is not known how much there is in all, None where it is.
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
    failure_reasons: Mapping[str, int] = field(default_factory=dict)
    unknown: str | None = None

    @property
    def rate(self) -> float | None:
        """Samples a second and worker."""
        return self.samples_done / self.seconds if self.seconds and self.samples_done else None

    @property
    def seconds_left(self) -> float | None:
        """Worker time that the rest takes at the rate so far."""
        return max(0, self.samples - self.handled) / self.rate if self.rate and self.samples is not None else None

    @property
    def bytes_expected(self) -> int | None:
        """Bytes of the whole store at the mean size so far."""
        if self.samples is None or not self.samples_done:
            return None
        return round(self.bytes / self.samples_done * self.samples)

    @property
    def handled(self) -> int:
        """Samples that are not to be done again."""
        return self.samples_done + self.failed + self.dropped

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        derived = {
            "rate": self.rate,
            "seconds_left": self.seconds_left,
            "bytes_expected": self.bytes_expected,
        }
        return {**asdict(self), **derived}


def progress(steps: Sequence[Step]) -> list[Row]:
    """A row for every stage.

    Raises:
        UserError: the dataset, whose images are counted, is not there.
    """
    return [row_of(step, step.size()) for step in steps]


def progress_so_far(steps: Sequence[Step]) -> list[Row]:
    """A row for every stage, which leaves open how much there is in all where that cannot be told, as of no dataset."""
    rows = []
    for step in steps:
        try:
            rows.append(row_of(step, step.size()))
        # Of a file that the configuration names and that cannot be read, it is a ValueError.
        except (UserError, OSError, ValueError) as error:
            rows.append(replace(row_of(step, None), unknown=" ".join(str(error).split())))
    return rows


def row_of(step: Step, size: Size | None) -> Row:
    made = step.made()
    units, samples = (size.units, size.samples) if size else (None, None)
    if isinstance(made, int):
        return Row(step.name, units, made, samples, 0, 0, 0, 0, 0.0)
    return Row(
        step.name,
        units,
        made.shards,
        samples,
        made.samples,
        made.failures,
        made.dropped,
        made.bytes,
        round(made.seconds, 3),
        made.failure_reasons,
    )


def plan_table(rows: Sequence[Row]) -> list[str]:
    """Lines that say how much there is to do."""
    header = ("stage", "units", "done", "samples", "done", "bytes", "worker time left")
    return aligned(
        [
            header,
            *(
                (
                    row.stage,
                    str(row.units),
                    str(row.units_done),
                    count(row.samples),
                    count(row.samples_done),
                    size_text(row.bytes_expected),
                    duration(row.seconds_left),
                )
                for row in rows
            ),
        ]
    )


def status_table(rows: Sequence[Row], remedies: Mapping[StageName, str]) -> list[str]:
    """Lines that say how far every stage is, below them why samples failed, and the remedy for those of each stage."""
    header = ("stage", "units", "samples", "failed", "dropped", "samples/s a worker", "bytes", "worker time left")
    lines = aligned(
        [
            header,
            *(
                (
                    row.stage,
                    f"{row.units_done}/{known(row.units)}",
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
    lines += [f"?: not known: {reason}" for reason in dict.fromkeys(row.unknown for row in rows) if reason]
    failed = [row for row in rows if row.failed]
    return lines + [f"{row.stage}: {top_reasons(row.failure_reasons)}: {remedies[row.stage]}" for row in failed]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines; the first column flush left, the others flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def count(number: int | None) -> str:
    return str(number) if number else "-"


def known(number: int | None) -> str:
    return "?" if number is None else str(number)


def size_text(size: int | None) -> str:
    """A number of bytes for people."""
    if size is None:
        return "-"
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.3g} {units[0]}"


def duration(seconds: float | None) -> str:
    """A time span for people."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
