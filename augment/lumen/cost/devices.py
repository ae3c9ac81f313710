"""How much memory a device has, and how fast it computes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import torch

GIB = 2**30
# Of a card, in GB on its label -> GiB that programs have.
CARDS = {24: 22.0, 48: 44.0, 80: 79.0, 141: 139.0}
# What CUDA and its libraries take, and the share of the memory that is lost between tensors.
LIBRARIES, LOST = 1 * GIB, 0.05
# Share of the peak that trainings of networks like a U-Net reach: lumen-tiny on a CPU, against products of matrices.
UTILISATION = 0.35

# Words in the name of a GPU -> bf16 TFLOP/s with dense matrices, by the data sheets of NVIDIA and AMD.
PEAKS = {
    ("B200",): 2250,
    ("H200",): 989,
    ("GH200",): 989,
    ("H100", "NVL"): 835,
    ("H100", "PCIe"): 756,
    ("H100",): 989,
    ("A100",): 312,
    ("A40",): 150,
    ("A30",): 165,
    ("A10",): 125,
    ("A10G",): 70,
    ("L40S",): 362,
    ("L40",): 181,
    ("L4",): 121,
    ("6000", "Ada"): 364,
    ("A6000",): 155,
    ("5090",): 210,
    ("4090",): 165,
    ("3090",): 71,
    ("MI300X",): 1307,
}
# The GPU that hours are given for where there is none.
REFERENCE = "A100"


@dataclass(frozen=True)
class Device:
    """What a worker computes on.

    Attributes:
        name: of a GPU, or of the CPUs.
        is_gpu: which of both.
        memory: bytes; None where the machine with the device is another one.
        peak: operations in a second, at most.
    """

    name: str
    is_gpu: bool
    memory: int | None
    peak: float

    @classmethod
    def here(cls, device: str, precision: str) -> Device:
        """The device of a worker.

        Args:
            device: `cuda` or `cpu`; without a GPU on this machine, `cuda` is the reference.
            precision: `fp32`, or one of 16 bits. The peak of a GPU that is not in the list, or in fp32, and that of the
                CPUs are measured, which takes less than a second.
        """
        dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        if device == "cpu":
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            return cls("the CPUs of this machine", False, memory, measured_peak("cpu", dtype))
        if not torch.cuda.is_available():
            return cls(REFERENCE, True, None, 1e12 * PEAKS[(REFERENCE,)])
        found = torch.cuda.get_device_properties(0)
        known = known_peak(found.name) if precision != "fp32" else None
        return cls(found.name, True, found.total_memory, known or measured_peak("cuda", dtype))

    def fits(self, memory: int) -> bool:
        """Whether tensors of this many bytes have room; on a common card where the memory is not known."""
        return bool(self.cards(memory)) if self.memory is None else self.needed(memory) <= self.memory

    def needed(self, memory: int) -> int:
        """Bytes for tensors of this many bytes, with what libraries take on a GPU."""
        return round(memory * (1 + LOST)) + LIBRARIES if self.is_gpu else memory

    def cards(self, memory: int) -> list[int]:
        """Sizes of common cards that have room for tensors of this many bytes, in GB."""
        return [size for size, usable in CARDS.items() if self.needed(memory) <= usable * GIB]

    def seconds(self, flops: float) -> float:
        """Time for this many operations, at the assumed utilisation."""
        return flops / (self.peak * UTILISATION)


def known_peak(name: str) -> float | None:
    """Peak of a GPU by its name, in operations a second in bf16; None if it is not in the list."""
    words = set(name.replace("-", " ").split())
    return next((1e12 * peak for needed, peak in PEAKS.items() if words.issuperset(needed)), None)


def measured_peak(device: str, dtype: torch.dtype) -> float:
    """Operations a second in the fastest of a few products of matrices."""
    size = 512 if device == "cpu" else 8192
    matrix = torch.zeros(size, size, dtype=dtype, device=device)
    times = []
    # The first product loads the library; others may wait for another program.
    for _ in range(20):
        started = time.perf_counter()
        torch.mm(matrix, matrix)[0, 0].item()
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times)
