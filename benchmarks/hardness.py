"""Whether the hardness of labels, by which `generate.variants_by_hardness` goes, is that of the images to the judge.

The hardness of a label is the mean usual loss of the classes in it, measured on the images held back from the judge. It
is compared with the judge's own loss on held-out images, which it has not learned from either.

    lumen run benchmarks/experiments/camvid.yaml dataset.root=CAMVID workspace=FOLDER --until judge
    python benchmarks/hardness.py --workspace FOLDER
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measuring import command_line
from planted_faults import IGNORED, losses_of, pairs_of
from scipy.stats import spearmanr

from augment.filtering import LOSS_CAP, LossHistogram, mean_loss
from augment.hardness import hardness_of, images_by_hardness
from downstream.held_back import held_back_keys, labelled_keys
from downstream.judge import Judge
from pipeline.store import SampleReader, Store


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--held-back", type=float, default=0.2, help="judge.held_back of the workspace")
    options = parser.parse_args()

    judge = Judge.load(options.workspace / "judge")
    store = Store.open(str(options.workspace / "real"))
    reader, count = SampleReader(store), len(judge.classes)

    def loss_and_pixels(keys: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pairs = pairs_of([reader.read(key) for key in keys], real=True)
        pixels = [np.bincount(label[label != IGNORED], minlength=count) for label in pairs.labels]
        return losses_of(judge, pairs)[0], pairs.labels, np.stack(pixels)

    train = labelled_keys(store, "train")
    back = sorted(held_back_keys(train, options.held_back))
    loss, labels, _ = loss_and_pixels(back)
    usual = LossHistogram.of(loss, labels, count).means(LOSS_CAP)
    for name, value in sorted(zip(judge.classes, usual, strict=True), key=lambda pair: -pair[1]):
        print(f"{name}: {value:.2f} nats")
    for title, keys in (("held out", labelled_keys(store, "val")), ("learned", sorted(set(train) - set(back)))):
        loss, labels, pixels = loss_and_pixels(keys)
        own, hardness = mean_loss(loss, labels), hardness_of(pixels, usual)
        found = spearmanr(hardness, own).statistic
        spread = ", ".join(f"{value:.2f}" for value in np.quantile(hardness, [0, 0.25, 0.5, 0.75, 1]))
        print(f"{len(keys)} images {title}: rank correlation with their own loss {found:.2f}; hardness {spread} nats")
        numbers = np.array(images_by_hardness(hardness.tolist(), 1, 6, 3))
        weights = {"as many of each": np.ones(len(keys)), "1 to 6, 3 on average": numbers / 3}
        for rule, weight in weights.items():
            shares = (pixels * weight[:, None]).sum(0) / (pixels * weight[:, None]).sum()
            print(f"  {rule}: " + ", ".join(f"{n} {s:.2%}" for n, s in zip(judge.classes, shares, strict=True)))


if __name__ == "__main__":
    main()
