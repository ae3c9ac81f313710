"""A picture of the edits of a run: real image, layout and label, the same after the edit, and what was painted on it.

    lumen run quickstart adapt.steps=0 generate.ks=[20] generate.variants=2 'generate.splits=[train]' \\
        evaluate.split=null 'downstream.mixes=[real]' dataset.render.train=24 dataset.render.val=2 \\
        --until generate workspace=PLAIN
    # The same with workspace=EDITED and
    #   'generate.edit={paste: {classes: [car, person], number: [1, 2], min_area: 200},
    #     remove: {classes: [car, bus, truck], probability: 0.7}}'
    python benchmarks/edited.py EDITED --unedited PLAIN --output edited.jpg
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measuring import command_line
from teaser import compose

from augment.layouts.pictures import layout_picture
from pipeline.config.compose import load_config
from pipeline.engine import Failed
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.store import Sample, SampleReader, Store, taxonomy_of
from pipeline.taxonomies import colorize

TITLES = ("real", "its layout", "its label", "edited layout", "edited label", "painted", "painted without the edit")


def main() -> None:
    """Write the picture."""
    parser = command_line(__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--unedited", type=Path, help="workspace of the same run without edits, for another column")
    parser.add_argument("--keys", nargs="*", help="keys of synthetic samples; the first edited ones otherwise")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--width", type=int, default=192, help="pixels of one picture")
    options = parser.parse_args()
    step = Job(load_config(str(options.workspace / "config.yaml"), [])).step(GenerateStep)
    real, layouts, synthetic = (
        SampleReader(Store.open(str(options.workspace / name))) for name in ("real", "layouts", "synthetic")
    )
    plain = SampleReader(Store.open(str(options.unedited / "synthetic"))) if options.unedited else None
    taxonomy = taxonomy_of(real.store.manifest)
    assert taxonomy is not None
    rows = []
    _, source = step.work()
    for unit in step.plan().units():
        for edited in source.read(unit):
            if isinstance(edited, Failed) or not edited.metadata.get("edited"):
                continue
            key = f"{edited.key}_k{unit.params['k']:02d}_v{unit.params['variant']:02d}"
            if options.keys and key not in options.keys:
                continue
            print(key, edited.metadata["edits"])
            before = [real.read(edited.key), layouts.read(edited.key)]
            painted: list[Sample] = [reader.read(key) for reader in (synthetic, plain) if reader is not None]
            image, label = before[0].image, before[0].label
            assert image is not None and label is not None and before[1].layout is not None
            assert edited.layout is not None and edited.label is not None
            height, width = label.shape
            rows.append(
                [
                    image,
                    layout_picture(before[1].layout, height, width),
                    colorize(label, taxonomy),
                    layout_picture(edited.layout, height, width),
                    colorize(edited.label, taxonomy),
                    *(np.asarray(one.image) for one in painted),
                ]
            )
    rows = rows[: options.rows]
    titles = list(TITLES[: len(rows[0])])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    compose(rows, titles, options.width).save(options.output, quality=88)


if __name__ == "__main__":
    main()
