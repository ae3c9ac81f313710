"""Train a segmenter on a mix of stores and evaluate it on real validation data."""

from __future__ import annotations

import json
import math
import shutil
import time
import uuid
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from torch.utils.data import DataLoader

from augment.errors import UserError
from augment.progress import OnStep, ignore_step
from augment.scalars import scalar_writer
from augment.sockets import short_sockets
from downstream.checkpoint import STATE, TrainingState
from downstream.dataset import LoadLabel, Part, StoreDataset, label_taxonomy
from downstream.divergence import Diverged, FiniteOptimWrapper, MixedPrecision
from downstream.judge import save_segmenter
from downstream.mixes import Mix
from downstream.options import ArmOptions, SegmenterTraining
from downstream.results import RESULT, ArmFailed, RunResult, read_result, write_json
from downstream.runner import ClassIoU, Progress, StatelessRandomness, StoreRunner, StoreTrainLoop
from downstream.segmenters import segmenter_config
from downstream.statistics.counts import ImageCounts
from downstream.training_data import Run, TrainingData, loader_of
from pipeline.store import JSON, Store, fingerprint
from pipeline.store.manifest import differences

_REQUEST = "request.json"
_PSEUDO = "pseudo-labels"
_DEFAULT = ArmOptions()
# Points of the loss curve that a run keeps.
_CURVE_POINTS = 20


def train(
    mix: Mix | str,
    real_store: str,
    synthetic_store: str | None,
    options: SegmenterTraining,
    seed: int,
    run_dir: Path,
    on_step: OnStep = ignore_step,
    train_split: str = "train",
    val_split: str = "val",
    raw_store: str | None = None,
    teacher: Path | None = None,
    arms: ArmOptions = _DEFAULT,
    held_back: Collection[str] = (),
    measures_held_back: bool = False,
) -> RunResult:
    """Train a segmenter on a mix and evaluate it on real validation data.

    A killed run resumes from its last saved state and ends with the same weights as an undisturbed one (on the same
    kind of device); a finished run is not repeated. Beside `result.json`, written last, the folder holds the segmenter
    that `downstream.judge.Judge` loads, what the evaluation counted in each image (`read_counts`), scalars for
    TensorBoard, and mmengine's log.

    Args:
        mix: what to train on, as an expression (docs/arms.md) or as a proportion of real and synthetic samples.
        real_store: URL of the real store, which also has the validation samples.
        synthetic_store: URL of the synthetic or curated store; None for a mix without a synthetic part.
        options: options of the training.
        seed: seed of weights, order and augmentation.
        run_dir: folder of this run alone.
        on_step: called after every iteration, of the validation too.
        train_split: split of all stores to train on.
        val_split: split of the real store to evaluate on.
        raw_store: URL of the synthetic store before curation; None for a mix without `raw` and `pseudo`.
        teacher: folder of the segmenter that predicts the labels of `pseudo`.
        arms: what the words in the brackets of an expression mean.
        held_back: keys of real images that are not trained on.
        measures_held_back: whether the evaluation is on those, and not on `val_split`.

    Raises:
        ArmFailed: a store lacks samples that the mix needs, or the training diverges; then the last saved state stays.
        UserError: both splits are the same, or the folder holds another run.
    """
    if train_split == val_split:
        raise UserError(f"training and evaluation would both use the split {val_split!r}: choose two splits")
    if measures_held_back and not held_back:
        raise UserError(f"{real_store}: no image of {train_split!r} is held back, so there is none to evaluate on")
    measured_split = f"{train_split}, held back" if measures_held_back else val_split
    data = TrainingData.of(mix, arms, real_store, synthetic_store, raw_store, teacher, train_split)
    data = replace(data, held_back=frozenset(held_back))
    inputs: dict[str, JSON] = {
        **data.inputs(),
        "seed": seed,
        "options": options.semantic,
        "splits": [train_split, measured_split],
    }
    _claim(run_dir, inputs)
    finished = read_result(run_dir)
    if finished is not None:
        if not all(math.isfinite(loss) for _, loss in finished.losses):
            raise UserError(f"{run_dir} holds a result although its loss was not finite: {_remedy(options)}")
        return finished
    parts = data.prepare(run_dir / _PSEUDO, get_device())

    measured = Part(real_store, val_split)
    if measures_held_back:
        measured = Part(real_store, train_split, sources=data.held_back)
    started = time.monotonic()
    curve_every = max(1, math.ceil(options.iterations / _CURVE_POINTS))
    state = TrainingState.load(run_dir / STATE) if (run_dir / STATE).is_file() else None
    taxonomy = label_taxonomy(Store.open(real_store))
    classes = taxonomy.classes
    crop = _crop(options, real_store)
    config = segmenter_config(options.model, len(classes), crop, options.decoder_channels, taxonomy.ignore_index)
    taken = state.iteration if state else 0
    metric = ClassIoU(ignore_index=taxonomy.ignore_index, prefix="val")
    with warnings.catch_warnings(), short_sockets(), scalar_writer(run_dir, taken) as add_scalars:
        # Deprecations inside mmengine and PyTorch, which the user cannot change.
        warnings.simplefilter("ignore")
        progress = Progress(
            run_dir / STATE,
            options.checkpoint_interval,
            options.checkpoint_minutes,
            curve_every,
            options.iterations,
            on_step,
            add_scalars,
            state,
        )
        runner = StoreRunner(
            state,
            options.pretrained,
            model=ConfigDict(config),
            work_dir=str(run_dir / "log"),
            train_dataloader=data.loader(parts, Run(options, crop, seed, taken)),
            val_dataloader=_val_loader(measured, options),
            default_hooks={"checkpoint": None, "sampler_seed": None, "logger": _logger_hook(curve_every)},
            custom_hooks=[StatelessRandomness(seed), progress],
            randomness={"seed": seed},
            # mmengine keeps one logger per name in a process; two runs must not share one.
            experiment_name=f"{run_dir.name}-{uuid.uuid4().hex[:8]}",
            default_scope="mmseg",
            val_evaluator=Evaluator([metric]),
            **_schedule(options),
        )
        with runner.closing_log():
            try:
                runner.train()
                metrics = runner.val()
            except Diverged as error:
                step = f"step {min(runner.iter + 1, options.iterations)} of {options.iterations}"
                raise ArmFailed(f"{run_dir}: {error} at {step}: {_remedy(options)}") from error
        if not metrics["val/images"] or math.isnan(metrics["val/aacc"]):
            raise UserError(
                f"{real_store}: no pixel of split {measured_split!r} is labelled, so the split cannot be evaluated on"
            )
        add_scalars(options.iterations, {"miou": metrics["val/miou"], "aacc": metrics["val/aacc"]})
    result = RunResult(
        mix=data.name,
        seed=seed,
        iterations=options.iterations,
        miou=metrics["val/miou"],
        aacc=metrics["val/aacc"],
        iou={name: None if math.isnan(metrics[f"val/iou/{name}"]) else metrics[f"val/iou/{name}"] for name in classes},
        losses=progress.losses,
        seconds=time.monotonic() - started,
        fingerprint=fingerprint(inputs),
        inputs=inputs,
        images=int(metrics["val/images"]),
        pixels={name: int(metrics[f"val/pixels/{name}"]) for name in classes},
    )
    save_segmenter(run_dir, runner.model, config, classes)
    # The loader keeps the order of the samples.
    keys = tuple(measured.rows()["key"].to_pylist())
    ImageCounts(keys, classes, *metric.areas).save(run_dir)
    write_json(run_dir / RESULT, result.to_json())
    (run_dir / STATE).unlink(missing_ok=True)
    shutil.rmtree(run_dir / _PSEUDO, ignore_errors=True)
    return result


def _remedy(options: SegmenterTraining) -> str:
    return (
        f"no result is kept: give a lower downstream.learning_rate than {options.learning_rate:g}, "
        "and --redo judge where the judge is trained already"
    )


def _claim(run_dir: Path, inputs: Mapping[str, JSON]) -> None:
    """Claim the folder for a run with these inputs; UserError if it belongs to another run."""
    path = run_dir / _REQUEST
    if path.is_file():
        changes = differences(json.loads(path.read_text()), inputs)
        if changes:
            raise UserError(
                f"{run_dir} holds a training run with other inputs ({'; '.join(changes)}): "
                "remove it, or choose another workspace"
            )
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    write_json(path, inputs)


def _crop(options: SegmenterTraining, store_url: str) -> tuple[int, int]:
    geometry = Store.open(store_url).manifest.geometry
    if options.crop is not None:
        return options.crop
    if not geometry:
        raise UserError(f"{store_url}: its images differ in size, so the training option crop is needed")
    return geometry["height"], geometry["width"]


def _val_loader(part: Part, options: SegmenterTraining) -> DataLoader:
    pipeline: list[dict[str, Any]] = [{"type": "LoadImageFromFile"}, {"type": LoadLabel}, {"type": "PackSegInputs"}]
    one_size = bool(Store.open(part.store_url).manifest.geometry)
    dataset = StoreDataset([part], pipeline, test_mode=True)
    return loader_of(dataset, options.val_batch_size if one_size else 1, options.num_workers, None)


def _schedule(options: SegmenterTraining) -> dict[str, Any]:
    """AdamW with a linear warm-up and a polynomial decay over the iterations of the run, then one evaluation."""
    total, full = options.iterations, options.precision == "fp32"
    # mmengine's LinearLR never reaches the full rate in fewer than two steps.
    warmup = round(options.warmup * total)
    warmup = warmup if 2 <= warmup < total else 0
    poly = {
        "type": "PolyLR",
        "power": options.power,
        "eta_min": 0.0,
        "begin": warmup,
        "end": total,
        "by_epoch": False,
    }
    rise = {"type": "LinearLR", "start_factor": 1e-2, "begin": 0, "end": warmup, "by_epoch": False}
    return {
        "optim_wrapper": {
            **({"type": FiniteOptimWrapper} if full else {"type": MixedPrecision, "precision": options.precision}),
            "optimizer": {
                "type": "AdamW",
                "lr": options.learning_rate,
                "weight_decay": options.weight_decay,
            },
            "clip_grad": {"max_norm": 1.0},
            "paramwise_cfg": {
                "norm_decay_mult": 0.0,
                "bias_decay_mult": 0.0,
                # An entry here would switch off the two rules above for the parameters that it names.
                "custom_keys": {"head": {"lr_mult": 10.0}} if options.pretrained else {},
            },
        },
        "param_scheduler": [rise, poly] if warmup else [poly],
        "train_cfg": {"type": StoreTrainLoop, "max_iters": total, "val_begin": total + 1},
        "val_cfg": {},
        "log_processor": {"by_epoch": False},
    }


def _logger_hook(interval: int) -> dict[str, Any]:
    return {"type": "LoggerHook", "interval": interval, "log_metric_by_epoch": False}
