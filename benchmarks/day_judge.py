"""What a judge that was trained by day makes of right labels by night.

A SegFormer and a Fast-SCNN are trained on the rendered training scenes by day, but for a share that is held back;
curation is fitted on these. Then the held-out scenes are judged by the time of day: the share of right pixels that is
ignored, the share of images that is dropped, and the same with labels of other images of the same time of day. With
`--learned all`, both learn from scenes of all times, of which few are by night.

Remedies for dark images are compared: thresholds that rise with the mean loss of the image; at most 30 % of the pixels
ignored; pixels ignored, and images dropped, only where both judges agree on it; and thresholds of the time of day,
fitted on training scenes of that time that are held back, as those of all times together are.

    lumen run quickstart workspace=FOLDER 'dataset.render={train: 240, val: 80}' --until shard
    python benchmarks/day_judge.py --workspace FOLDER
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import command_line
from numpy.typing import NDArray
from planted_faults import IGNORED, Pairs, exchanged, losses_of, pairs_of, shares

from augment.filtering import CurateOptions, LossHistogram, LossScale, mean_loss
from downstream.dataset import Part
from downstream.held_back import held_back_keys
from downstream.judge import Judge
from downstream.options import SegmenterTraining
from downstream.training import train
from pipeline.stages.loss_counts import OtherLabels
from pipeline.store import SampleReader, Store

TIMES = "day", "dusk", "night"
SECOND = "fast_scnn_8xb4-160k_cityscapes-512x1024"
# Pixels of a class that a threshold of a time of day is fitted on, at least; with fewer, it is that of all times.
ENOUGH = 1000
CURATE, LEVEL, MOST = "as curate", "by the level of the image", "at most 30 % ignored"
TWO, OTHER, TIME, ALL = "two judges", "second judge alone", "scales of the time", "scales of all times"
OPTIONS = CurateOptions()


@dataclass(frozen=True)
class Fitted:
    """A judge with its thresholds by class, `float64 [256]`, by what they were fitted on, and its usual loss."""

    judge: Judge
    thresholds: Mapping[str, NDArray[np.float64]]
    usual: float

    @classmethod
    def of(cls, judge: Judge, held_back: Mapping[str, Pairs], learned: Collection[str]) -> Fitted:
        """Fit the thresholds of what was learned, of every time of day, and of all of them."""
        losses = {time: losses_of(judge, pairs)[0] for time, pairs in held_back.items()}
        parts = {
            time: LossHistogram.of(losses[time], pairs.labels, len(judge.classes)) for time, pairs in held_back.items()
        }
        wanted = {CURATE: [parts[time] for time in learned], ALL: list(parts.values())}
        wanted |= {time: [part] for time, part in parts.items()}
        found = {}
        for name, counted in wanted.items():
            histogram = LossHistogram.merged(counted)
            scale = np.array(LossScale.fit(histogram, judge.classes, OPTIONS).thresholds)
            if name in parts:
                few = histogram.counts.sum(axis=1) < ENOUGH
                scale = np.where(few, found[ALL][: len(scale)], scale)
            found[name] = np.append(scale, np.full(256 - len(scale), np.inf))
        usual = [mean_loss(losses[time], held_back[time].labels) for time in learned]
        return cls(judge, found, float(np.median(np.concatenate(usual))))


def main() -> None:
    """Train and print a table."""
    parser = command_line(__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.2, help="of the training scenes to hold back")
    parser.add_argument("--learned", choices=("day", "all"), default="day")
    options = parser.parse_args()

    url = str(options.workspace / "real")
    reader = SampleReader(Store.open(url))

    def pairs(keys: Collection[str]) -> Pairs:
        return pairs_of([reader.read(key) for key in sorted(keys)], real=True)

    times = {time: keys_of(url, "train", time) for time in TIMES}
    back = {time: held_back_keys(keys, options.share) for time, keys in times.items()}
    held_back = {time: pairs(keys) for time, keys in back.items()}
    learned = ("day",) if options.learned == "day" else TIMES
    mix = "real[time_of_day=day]" if options.learned == "day" else "real"
    fitted = []
    for model in (SegmenterTraining().model, SECOND):
        channels = None if model == SECOND else 64
        length = {"iterations": options.iterations, "batch_size": options.batch_size}
        training = SegmenterTraining(model=model, decoder_channels=channels, **length)
        with tempfile.TemporaryDirectory() as folder:
            out = frozenset[str]().union(*back.values())
            result = train(mix, url, None, training, 0, Path(folder), held_back=out)
            fitted.append(Fitted.of(Judge.load(Path(folder)), held_back, learned))
        print(f"{model}: mIoU {result.miou:.3f} on all times of day", flush=True)
    counts = {time: f"{len(times[time]) - len(back[time])} + {len(back[time])} held back" for time in TIMES}
    print(f"training scenes, of which {', '.join(learned)} are learned: {counts}")
    labels = OtherLabels.of(url, sorted(set().union(*(back[time] for time in learned))), IGNORED)
    others = np.stack(list(labels.fitting(held_back["day"].labels.shape[1:]).values()))
    titles = "images", "right pixels ignored", "dropped", "with labels of others: wrong pixels ignored", "dropped"
    print(f"| rule, held-out scenes | {' | '.join(titles)} |")
    print("| --- " * 6 + "|")
    for time in TIMES:
        print_time(time, fitted, pairs(keys_of(url, "val", time)), others)


def keys_of(url: str, split: str, time: str) -> list[str]:
    """Keys of the scenes of a split and a time of day."""
    keys: list[str] = Part(url, split, {"time_of_day": [time]}).rows()["key"].to_pylist()
    return keys


def print_time(time: str, fitted: list[Fitted], own: Pairs, others: NDArray[np.uint8]) -> None:
    """The rows of a time of day."""
    tried = [(pairs, [losses_of(one.judge, pairs, others) for one in fitted]) for pairs in (own, exchanged(own))]
    for rule in (CURATE, LEVEL, MOST, OTHER, TWO, TIME, ALL, f"{TWO}, {TIME}"):
        cells = [f"{rule}, {time}", str(len(own.images))]
        for pairs, judged in tried:
            verdicts = [verdict(rule, time, one, pairs, *found) for one, found in zip(fitted, judged, strict=True)]
            chosen = verdicts if TWO in rule else verdicts[1:] if rule == OTHER else verdicts[:1]
            believed = np.any([one for one, _ in chosen], axis=0)
            misfit = np.all([one for _, one in chosen], axis=0)
            dropped = (shares(believed, pairs.labels) < OPTIONS.min_reliable) | misfit
            counted = pairs.known & ((pairs.labels == pairs.truth) == (pairs is own))
            cells += [f"{1 - believed[counted].mean():.0%}", f"{dropped.mean():.0%}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def verdict(
    rule: str, time: str, fitted: Fitted, pairs: Pairs, loss: NDArray[np.float32], beaten: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The pixels that a judge believes, and the images whose label fits them hardly better than others."""
    table = fitted.thresholds[time if TIME in rule else ALL if rule == ALL else CURATE]
    believed = loss <= table[pairs.labels] * factor(rule, loss, pairs, table, fitted.usual)
    return believed, beaten < OPTIONS.better_than


def factor(
    rule: str, loss: NDArray[np.float32], pairs: Pairs, table: NDArray[np.float64], usual: float
) -> NDArray[np.float64]:
    """What the thresholds of each image are multiplied by, 1 or more: `[N, 1, 1]`."""
    found = np.ones(len(loss))
    if rule == LEVEL:
        found = np.maximum(1, mean_loss(loss, pairs.labels) / usual)
    elif rule == MOST:
        ratios, labelled = loss / table[pairs.labels], pairs.labels != IGNORED
        found = np.array([max(1, np.quantile(part[of], 0.7)) for part, of in zip(ratios, labelled, strict=True)])
    return found[:, None, None]


if __name__ == "__main__":
    main()
