"""Features, projection and moments against the libraries' own ways, in one process and in turns.

Features: the loop that transformers documents, an image processor and a model on batches, against a backbone of LUMEN.
Both give patch tokens of the same pixels. Then the same in bfloat16, with the error of the layouts, and the share of
the rate at which this device multiplies large matrices. Basis: moments and one eigendecomposition against
`sklearn.decomposition.IncrementalPCA` (pip install scikit-learn), with the largest angle to the exact subspace.
Times are CPU seconds of all threads on a CPU, which other processes hardly change, and wall seconds on a GPU.

    python benchmarks/features.py --root CAMVID

With --compile, also the encoder under `torch.compile`, the wall seconds until its first features and those of a batch
of another size, and how far its features are from those without.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from layout_fidelity import read
from measuring import command_line
from numpy.typing import NDArray
from scipy.linalg import subspace_angles
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, BitImageProcessorPil

from augment.backbones import load_backbone
from augment.backbones.dinov2_onnx import cached_checkpoint
from augment.backbones.encoder import Encoder
from augment.backbones.families import IMAGENET
from augment.layouts.basis import LayoutBasis
from augment.layouts.moments import FeatureMoments
from augment.loading import quiet
from pipeline.datasets import Geometry

OFFLINE, PATCH, CELL = "dinov2-vits14", 14, 8
Images = Sequence[NDArray[np.uint8]]


def documented_loop(images: Images, batch: int, device: str) -> Callable[[], list[torch.Tensor]]:
    """Image processor, model and last hidden state on batches, as the documentation of transformers has it."""
    height, width = (side // CELL * PATCH for side in images[0].shape[:2])
    size = {"height": height, "width": width}
    processor = BitImageProcessorPil(size=size, do_center_crop=False, image_mean=IMAGENET[0], image_std=IMAGENET[1])
    with quiet():
        model = AutoModel.from_pretrained(cached_checkpoint()).eval().to(device)

    def loop() -> list[torch.Tensor]:
        found = []
        for start in range(0, len(images), batch):
            inputs = processor(images=list(images[start : start + batch]), return_tensors="pt").to(device)
            with torch.inference_mode():
                found.append(model(**inputs).last_hidden_state[:, 1:].cpu())
        return found

    return loop


def our_loop(images: Images, batch: int, device: str, name: str) -> Callable[[], list[torch.Tensor]]:
    """The same tokens from a backbone, with outliers scaled back, on the latent grid."""
    backbone = load_backbone(name, device)
    return lambda: [
        backbone.features(np.stack(images[start : start + batch])).cpu() for start in range(0, len(images), batch)
    ]


def compiled_loop(images: Images, batch: int, device: str) -> Callable[[], list[torch.Tensor]]:
    """The same with the encoder compiled; prints what that costs before the first features, and the deviation."""
    plain, compiled = (load_backbone(OFFLINE, device) for _ in range(2))
    assert isinstance(compiled, Encoder)
    compiled._model.compile()
    first = np.stack(images[:batch])
    for part in (first, first[:-1]):
        started = time.perf_counter()
        found = compiled.features(part)
        print(f"torch.compile, batch of {len(part)}: {time.perf_counter() - started:.0f} s until the first features")
        expected = plain.features(part)
        print(f"root mean square deviation: {float((found - expected).std() / expected.std()):.1e} sd of the features")
    return lambda: [compiled.features(np.stack(images[at : at + batch])).cpu() for at in range(0, len(images), batch)]


def seconds_in_turns(loops: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each loop; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(1 + rounds):
        for name, loop in loops.items():
            started = clock(device)
            loop()
            if number:
                times[name].append(clock(device) - started)
    return {name: statistics.median(found) for name, found in times.items()}


def matmul_rate(device: str, dtype: torch.dtype, size: int) -> float:
    """Floating-point operations a second in a product of square matrices: the best of five."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        started = clock(device)
        left @ right
        best = min(best, clock(device) - started)
    return 2 * size**3 / best


def clock(device: str) -> float:
    """Seconds: of CPU time on a CPU; on a GPU of wall time, once all that is queued there is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def operations(image: NDArray[np.uint8]) -> int:
    """Floating-point operations of the model on an image."""
    backbone = load_backbone(OFFLINE)
    with FlopCounterMode(display=False) as counter:
        backbone.features(image[None])
    return counter.get_total_flops()


def features_table(images: Images, batch: int, device: str, rounds: int, compiled: bool) -> None:
    """Print the rates of the loops, side by side."""
    names = {"lumen": OFFLINE, "lumen, bf16": f"{OFFLINE}?precision=bf16"}
    loops: dict[str, Callable[[], object]] = {"transformers' documented loop": documented_loop(images, batch, device)}
    loops |= {title: our_loop(images, batch, device, name) for title, name in names.items()}
    if compiled:
        loops["lumen, torch.compile"] = compiled_loop(images, batch, device)
    times = seconds_in_turns(loops, rounds, device)
    plain = times["transformers' documented loop"]
    each, size = operations(images[0]), 4096 if device.startswith("cuda") else 1024
    ceilings = {dtype: matmul_rate(device, dtype, size) for dtype in (torch.float32, torch.bfloat16)}
    print("| loop | images/s | of the documented loop | of the matmul rate |\n|---|---:|---:|---:|")
    for title, seconds in times.items():
        ceiling = ceilings[torch.bfloat16 if title.endswith("bf16") else torch.float32]
        share = each * len(images) / seconds / ceiling
        print(f"| {title} | {len(images) / seconds:.2f} | {plain / seconds:.2f} | {share:.0%} |")
    print(
        {str(dtype): f"{rate / 1e9:.0f} GFLOP/s" for dtype, rate in ceilings.items()},
        f"{each / 1e9:.1f} GFLOP an image",
    )


def bf16_error(images: Images, device: str, k: int) -> None:
    """Print how far layouts in bfloat16 are from those in float32, in standard deviations of each component."""
    full, half = (load_backbone(name, device) for name in (OFFLINE, f"{OFFLINE}?precision=bf16"))
    one, other = (torch.cat([part.features(image[None]) for image in images]).cpu() for part in (full, half))
    basis = LayoutBasis.fit(FeatureMoments.of(rows_of(one)), k, OFFLINE, full.revision)
    difference = (basis.project(one) - basis.project(other)).square().mean(dim=(0, 2, 3)).sqrt()
    print(f"root mean square error of components 1 to {k} in bf16, in sd:", [round(float(v), 3) for v in difference])


def rows_of(features: torch.Tensor) -> torch.Tensor:
    """The vectors `[N, C]` of feature maps."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def basis_table(batches: Sequence[NDArray[np.float32]], k: int, rounds: int) -> None:
    """Print time, memory and angle to the exact subspace of both ways to the components."""
    from sklearn.decomposition import IncrementalPCA

    def ours() -> NDArray[np.float64]:
        moments = FeatureMoments.merged(FeatureMoments.of(rows) for rows in batches)
        return LayoutBasis.fit(moments, k, OFFLINE, "").components

    def theirs() -> NDArray[np.float64]:
        model = IncrementalPCA(k)
        for rows in batches:
            model.partial_fit(rows)
        return model.components_

    every = np.concatenate(batches).astype(np.float64)
    exact = np.linalg.svd(every - every.mean(axis=0), full_matrices=False)[2][:k]
    loops: dict[str, Callable[[], NDArray[np.float64]]] = {"IncrementalPCA": theirs, "moments and eigh": ours}
    times = seconds_in_turns(dict(loops), rounds, "cpu")
    print(f"| {len(every)} vectors, k = {k} | s | MiB at most | largest angle to the exact subspace |")
    print("|---|---:|---:|---:|")
    for title, loop in loops.items():
        tracemalloc.start()
        components = loop()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        angle = np.degrees(subspace_angles(components.T, exact.T).max())
        print(f"| {title} | {times[title]:.2f} | {peak:.0f} | {angle:.2g} degrees |")


def main() -> None:
    """Measure and print the tables."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of CamVid")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--components", type=int, default=24)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    geometry = Geometry(height=options.height, width=options.width)
    images = read("camvid", options.root, "train", geometry, options.images)[0]
    print(f"{len(images)} images of {options.width}x{options.height}, batches of {options.batch}, {options.device}\n")
    features_table(images, options.batch, options.device, options.rounds, options.compile)
    bf16_error(images, options.device, options.components)
    found = our_loop(images, options.batch, options.device, OFFLINE)()
    basis_table([rows_of(part).numpy() for part in found], options.components, options.rounds)


if __name__ == "__main__":
    main()
