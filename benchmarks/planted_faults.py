"""Which wrong labels a rule of curation finds, and what it costs in right ones.

Faults are planted in held-out real pairs, where it is known which pixels they make wrong, and held-out synthetic pairs
get labels of other images. The judge must have left out a share of its training images (`judge.held_back`); "in-sample"
is fitted on those that it has learned.

    lumen run benchmarks/experiments/camvid.yaml dataset.root=CAMVID workspace=FOLDER --until judge
    python benchmarks/planted_faults.py --workspace FOLDER

For each fault: recall, the share of wrong pixels that is ignored; precision, the share of ignored pixels that is wrong;
and the share of images that is dropped. Real pairs without a fault give the false alarms. Images painted without a
layout are wrong in most pixels; for them and for synthetic pairs, only the shares believed and dropped are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import command_line
from numpy.typing import NDArray
from scipy import ndimage

from augment.filtering import LOSS_CAP, CurateOptions, LossHistogram, LossScale, mean_loss
from augment.lumen.model import Lumen
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from downstream.held_back import held_back_keys, labelled_keys
from downstream.judge import Judge
from pipeline.stages.loss_counts import OtherLabels
from pipeline.store import Sample, SampleReader, Store

BATCH, IGNORED = 8, 255
BEFORE = "1.25 x 95 % quantile, in-sample (before)"
Believe = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Pairs:
    """Images `uint8 [N, H, W, 3]`, labels `[N, H, W]`, and what the images show, if that is known."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Pixels that are labelled, and known to be right or wrong."""
        assert self.truth is not None
        return (self.labels != IGNORED) & (self.truth != IGNORED)


def pairs_of(samples: list[Sample], real: bool) -> Pairs:
    """Samples as arrays; the labels of real ones are the truth."""
    images, labels = (np.stack([getattr(sample, part) for sample in samples]) for part in ("image", "label"))
    return Pairs(images, labels, labels if real else None)


def exchanged(pairs: Pairs) -> Pairs:
    """Pairs with the label of the image half the list away."""
    return Pairs(pairs.images, np.roll(pairs.labels, len(pairs.labels) // 2, 0), pairs.truth)


def faults(held_out: Pairs, learned: Pairs, seed: int = 0) -> dict[str, Pairs]:
    """Pairs in which it is known which pixels are wrong."""
    labels, rng = held_out.labels, np.random.default_rng(seed)
    shifted = np.full_like(labels, IGNORED)
    shifted[:, :, 8:] = labels[:, :, :-8]
    swapped = labels.copy()
    for new, old in zip(swapped, labels, strict=True):
        one, other = rng.choice([c for c in np.unique(old) if c != IGNORED and (old == c).sum() > 60], 2, replace=False)
        new[old == one], new[old == other] = other, one
    # No class, so that every label is wrong.
    nothing = np.full_like(labels, IGNORED - 1)
    return {
        "label of another image": exchanged(held_out),
        "copy of a training image": exchanged(learned),
        "shifted by 8 pixels": Pairs(held_out.images, shifted, held_out.truth),
        "two classes swapped": Pairs(held_out.images, swapped, held_out.truth),
        "blank image": Pairs(np.full_like(held_out.images, 128), labels, nothing),
    }


def painted(workspace: Path, samples: list[Sample], steps: int) -> Pairs:
    """Images of lumen-tiny that are painted without a layout, with the labels of the samples."""
    sampler = Lumen.load(options=SamplerOptions(num_steps=steps)).sampler
    layouts = SampleReader(Store.open(str(workspace / "layouts")))
    requests = [
        Request(found, 0, "a photo of a street, day", seed)
        for seed, sample in enumerate(samples)
        if (found := layouts.read(sample.key).layout) is not None
    ]
    images = [image for i in range(0, len(requests), BATCH) for image in sampler.generate(requests[i : i + BATCH])]
    return Pairs(np.stack(images), pairs_of(samples, real=True).labels, None)


def near_boundary(labels: NDArray[np.uint8], within: int) -> NDArray[np.bool_]:
    """Pixels within some pixels of another label."""
    found = np.zeros(labels.shape, bool)
    for near, label in zip(found, labels, strict=True):
        below, right = label[:-1] != label[1:], label[:, :-1] != label[:, 1:]
        near[:-1] |= below
        near[1:] |= below
        near[:, :-1] |= right
        near[:, 1:] |= right
        near[:] = ndimage.binary_dilation(near, iterations=within)
    return found


def by_class(thresholds: NDArray[np.float64]) -> Believe:
    """Believe losses up to the threshold of the class."""
    table = np.append(thresholds, np.full(256 - len(thresholds), np.inf))
    return lambda loss, labels: loss <= table[labels]


def rules(judge: Judge, held_back: Pairs, learned: Pairs) -> tuple[dict[str, Believe], Believe]:
    """The rules by name, and the default one."""
    count = len(judge.classes)
    fitted = {"held back": held_back, "in-sample": learned}
    losses = {name: losses_of(judge, pairs)[0] for name, pairs in fitted.items()}

    def scale(name: str, quantile: float, tolerance: float) -> Believe:
        options = CurateOptions(quantile=quantile, tolerance=tolerance)
        histogram = LossHistogram.of(losses[name], fitted[name].labels, count)
        return by_class(np.array(LossScale.fit(histogram, judge.classes, options).thresholds))

    def mean(name: str) -> Believe:
        labels = fitted[name].labels
        return by_class(
            np.array([1.25 * losses[name][labels == c].mean() if (labels == c).any() else np.inf for c in range(count)])
        )

    default = scale("held back", CurateOptions().quantile, CurateOptions().tolerance)
    found = {
        BEFORE: scale("in-sample", 0.95, 1.25),
        "1.25 x mean, in-sample (FreeMask)": mean("in-sample"),
        "1.25 x mean, held back": mean("held back"),
        "1.25 x 95 % quantile, held back": scale("held back", 0.95, 1.25),
        "95 % quantile, held back": scale("held back", 0.95, 1),
        "90 % quantile, held back": default,
        "80 % quantile, held back": scale("held back", 0.8, 1),
        "label 10 x less likely than others": lambda loss, _: loss <= -np.log(1 / 11),
        "90 %, boundary of 1 pixel exempt": lambda loss, labels: default(loss, labels) | near_boundary(labels, 1),
        "90 %, boundary of 1 pixel ignored": lambda loss, labels: default(loss, labels) & ~near_boundary(labels, 1),
    }
    return found, default


def losses_of(
    judge: Judge, pairs: Pairs, others: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The losses `[N, H, W]`, and the share of other labels that fit each image worse than its own."""
    losses, beaten = [], []
    for start in range(0, len(pairs.images), BATCH):
        images, labels = (part[start : start + BATCH] for part in (pairs.images, pairs.labels))
        compared = others if others is not None else labels[:1]
        loss, means = judge.compare(images, labels, compared, LOSS_CAP)
        losses.append(loss)
        beaten.append((mean_loss(loss, labels)[:, None] < means).mean(axis=1))
    return np.concatenate(losses), np.concatenate(beaten)


def shares(believed: NDArray[np.bool_], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The share of the labelled pixels of each image that is believed."""
    labelled = labels != IGNORED
    return (believed & labelled).sum((1, 2)) / np.maximum(labelled.sum((1, 2)), 1)


def main() -> None:
    """Measure and print tables."""
    parser = command_line(__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--judge", type=Path, help="another judge than that of the workspace")
    parser.add_argument("--held-back", type=float, default=0.2, help="judge.held_back of this judge")
    parser.add_argument("--num-steps", type=int, default=8)
    options = parser.parse_args()

    judge = Judge.load(options.judge or options.workspace / "judge")
    store = Store.open(str(options.workspace / "real"))
    reader, keys = SampleReader(store), labelled_keys(store, "train")
    back = held_back_keys(keys, options.held_back)
    held_back = pairs_of([reader.read(key) for key in sorted(back)], real=True)
    learned = pairs_of([reader.read(key) for key in sorted(set(keys) - back)], real=True)
    samples = [reader.read(key) for key in labelled_keys(store, "val")]
    held_out = pairs_of(samples, real=True)
    labels = OtherLabels.of(store.url, sorted(back), IGNORED).fitting(held_out.labels.shape[1:])
    others = np.stack(list(labels.values()))

    few = Pairs(learned.images[::3], learned.labels[::3], learned.labels[::3])
    cases = {
        "none": held_out,
        **faults(held_out, few),
        "painted without layout": painted(options.workspace, samples[::2], options.num_steps),
    }
    synthetic = SampleReader(Store.open(str(options.workspace / "synthetic")))
    rows = synthetic.index.select(["key", "k", "variant", "split"]).to_pylist()
    for k in sorted({row["k"] for row in rows}):
        chosen = [row["key"] for row in rows if (row["k"], row["variant"], row["split"]) == (k, 0, "val")]
        pairs = pairs_of([synthetic.read(key) for key in chosen], real=False)
        cases |= {f"painted, k = {k}": pairs, f"painted, k = {k}, label of another": exchanged(pairs)}

    judged = {name: losses_of(judge, pairs, others) for name, pairs in cases.items()}
    found, default = rules(judge, held_back, learned)
    cut = cut_of(judge, held_back, default)
    print_pixels(found, cases, judged)
    print_images(default, found[BEFORE], cut, cases, judged)
    print_classes(judge, default, cases, judged)


def cut_of(judge: Judge, held_back: Pairs, believe: Believe) -> float:
    """The share believed that 95 % of the images held back reach."""
    return float(np.quantile(shares(believe(losses_of(judge, held_back)[0], held_back.labels), held_back.labels), 0.05))


Judged = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float64]]]


def print_pixels(found: Mapping[str, Believe], cases: Mapping[str, Pairs], judged: Judged) -> None:
    """Recall and precision of each rule for each fault, the false alarms, and the shares believed."""
    known = [name for name, pairs in cases.items() if pairs.truth is not None and name != "none"]
    unknown = [name for name, pairs in cases.items() if pairs.truth is None]
    print(
        "| pixels | false alarms | " + " | ".join(known) + " | " + " | ".join(f"believed: {n}" for n in unknown) + " |"
    )
    print("| --- " * (2 + len(known) + len(unknown)) + "|")
    for rule, believe in found.items():
        ignored = {name: ~believe(judged[name][0], pairs.labels) for name, pairs in cases.items()}
        cells = [f"{ignored['none'][cases['none'].known].mean():.1%}"]
        for name in known:
            wrong = cases[name].known & (cases[name].labels != cases[name].truth)
            recall, precision = ignored[name][wrong].mean(), wrong[ignored[name] & cases[name].known].mean()
            cells.append(f"{recall:.0%} / {precision:.0%}")
        for name in unknown:
            cells.append(f"{1 - ignored[name][cases[name].labels != IGNORED].mean():.0%}")
        print(f"| {rule} | " + " | ".join(cells) + " |", flush=True)


def print_images(default: Believe, before: Believe, cut: float, cases: Mapping[str, Pairs], judged: Judged) -> None:
    """The share of images that each rule for images drops."""
    titles = (
        "before",
        "half not believed",
        f"under {cut:.2f} believed",
        *(f"not better than {p} %" for p in (50, 75, 90)),
    )
    print(f"\n| dropped | {' | '.join(titles)} |")
    print("| --- " * 7 + "|")
    for name, pairs in cases.items():
        loss, beaten = judged[name]
        earlier, believed = (shares(rule(loss, pairs.labels), pairs.labels) for rule in (before, default))
        dropped = [earlier < 0.5, believed < 0.5, believed < cut, *(beaten < share for share in (0.5, 0.75, 0.9))]
        print(f"| {name} | " + " | ".join(f"{part.mean():.0%}" for part in dropped) + " |")


def print_classes(judge: Judge, default: Believe, cases: Mapping[str, Pairs], judged: Judged) -> None:
    """Recall, precision and false alarms of the default rule by class, with labels of other images."""
    name = "label of another image"
    right, wrong = cases["none"], cases[name]
    alarm, ignored = (~default(judged[case][0], cases[case].labels) for case in ("none", name))
    print("\n| class | recall | precision | false alarms |\n| --- | --- | --- | --- |")
    for index, title in enumerate(judge.classes):
        of_class = wrong.known & (wrong.labels == index)
        false = of_class & (wrong.labels != wrong.truth)
        cells = [
            f"{part.mean():.0%}" if part.size else "–"
            for part in (ignored[false], false[ignored & of_class], alarm[right.known & (right.labels == index)])
        ]
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
