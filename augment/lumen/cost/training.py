"""What the training of an adapter takes on one worker, and the batch that a card has room for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from augment.lumen.cost.cost import Cost
from augment.lumen.cost.shapes import Shapes
from augment.lumen.sampling.decoding import images_at_once
from augment.lumen.sampling.options import DEFAULTS

if TYPE_CHECKING:
    from augment.lumen.cost.devices import Device
    from augment.lumen.options import AdaptOptions

# Images of a sample grid, as `augment.lumen.training.adapter_training` paints it.
GRID_IMAGES = 8


def training_cost(shapes: Shapes, options: AdaptOptions, workers: int = 1) -> Cost:
    """The cost of one worker, and the operations of a step of all of them.

    The most memory of a step, of a sample grid and of the encoding for the validation loss; without the consistency
    reward.

    Args:
        shapes: the models, the size of the images and the precision.
        options: of the training.
        workers: that train together.
    """
    step = _step(shapes, options, options.micro_batch, workers)
    grid = shapes.painting(GRID_IMAGES, DEFAULTS)
    working = [step.working, grid.working]
    if options.validation_images:
        # It is not under autocast.
        together = min(
            _together(options, workers), options.validation_images, images_at_once(shapes.height, shapes.width)
        )
        working.append(replace(shapes, autocast=None).encoding(together).working)
    return replace(step, working=max(working))


def largest_micro_batch(shapes: Shapes, options: AdaptOptions, device: Device, workers: int = 1) -> int:
    """The largest `micro_batch` below all of a worker's samples that the device has room for; 0 if there is none."""

    def fits(size: int) -> bool:
        parted = options.model_copy(update={"micro_batch": size})
        return device.fits(training_cost(shapes, parted, workers).memory)

    own = -(-options.batch_size // workers)
    if own <= 2 or not fits(1):
        return int(fits(1))
    # The memory of a step grows linearly with it, so that two sizes give all others.
    sizes = (1, max(2, own // 2))
    one, more = (_step(shapes, options, size, workers).memory for size in sizes)
    slope = (more - one) / (sizes[1] - 1)
    size = max([1, *(size for size in range(1, own) if device.fits(round(one + slope * (size - 1))))])
    while size > 1 and not fits(size):
        size -= 1
    return size


def _together(options: AdaptOptions, workers: int) -> int:
    own = -(-options.batch_size // workers)
    return min(own, options.micro_batch or own)


def _step(shapes: Shapes, options: AdaptOptions, micro_batch: int | None, workers: int) -> Cost:
    return shapes.training(
        options.batch_size,
        micro_batch,
        gradient_checkpointing=options.gradient_checkpointing,
        optimizer=options.optimizer,
        workers=workers,
    )
