"""What a judge that was trained by day makes of right labels by night.

A SegFormer is trained on the rendered training scenes by day, but for a share that is held back; curation is fitted on
these. Then the held-out scenes are judged by the time of day: the share of right pixels that is ignored, the share of
images that is dropped, and the same with labels of other images of the same time of day. Two remedies for dark images
are compared: thresholds that rise with the mean loss of the image, and at most 30 % of the pixels ignored.

    lumen run quickstart workspace=FOLDER 'dataset.render={train: 240, val: 80}' --until shard
    python benchmarks/day_judge.py --workspace FOLDER
"""

from __future__ import annotations

import tempfile
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

LEVEL, MOST = "by the level of the image", "at most 30 % ignored"
RULES = ("as curate", LEVEL, MOST)


def main() -> None:
    """Train and print a table."""
    parser = command_line(__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.2, help="of the training scenes by day to hold back")
    options = parser.parse_args()

    url = str(options.workspace / "real")
    reader, curate = SampleReader(Store.open(url)), CurateOptions()
    by_day = Part(url, "train", {"time_of_day": ["day"]}).rows()["key"].to_pylist()
    back = held_back_keys(by_day, options.share)
    training = SegmenterTraining(iterations=options.iterations, decoder_channels=64)
    with tempfile.TemporaryDirectory() as folder:
        result = train("real[time_of_day=day]", url, None, training, 0, Path(folder), held_back=back)
        judge = Judge.load(Path(folder))
    held_back = pairs_of([reader.read(key) for key in sorted(back)], real=True)
    losses = losses_of(judge, held_back)[0]
    histogram = LossHistogram.of(losses, held_back.labels, len(judge.classes))
    thresholds = np.array(LossScale.fit(histogram, judge.classes, curate).thresholds)
    others = OtherLabels.of(url, sorted(back), IGNORED).fitting(held_back.labels.shape[1:])
    usual = float(np.median(mean_loss(losses, held_back.labels)))
    print(f"{len(by_day) - len(back)} scenes by day, {len(back)} held back; mIoU {result.miou:.3f} on all times of day")
    titles = "images", "right pixels ignored", "dropped", "with labels of others: wrong pixels ignored", "dropped"
    print(f"| rule, held-out scenes | {' | '.join(titles)} |")
    print("| --- " * 6 + "|")
    for time in ("day", "dusk", "night"):
        rows = Part(url, "val", {"time_of_day": [time]}).rows()
        own = pairs_of([reader.read(key) for key in rows["key"].to_pylist()], real=True)
        compared = np.stack(list(others.values()))
        tried = [(pairs, *losses_of(judge, pairs, compared)) for pairs in (own, exchanged(own))]
        for rule in RULES:
            cells = [f"{rule}, {time}", str(len(own.images))]
            for pairs, loss, beaten in tried:
                table = np.append(thresholds, np.full(256 - len(thresholds), np.inf))
                believed = loss <= table[pairs.labels] * factor(rule, loss, pairs, table, usual)
                dropped = (shares(believed, pairs.labels) < curate.min_reliable) | (beaten < curate.better_than)
                counted = pairs.known & ((pairs.labels == pairs.truth) == (pairs is own))
                cells += [f"{1 - believed[counted].mean():.0%}", f"{dropped.mean():.0%}"]
            print(f"| {' | '.join(cells)} |", flush=True)


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
