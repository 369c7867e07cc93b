"""What a run runs on: versions, hardware and the memory that it took."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

from recbole_genrec import __version__
from recbole_genrec.parallel.distributed import world_size


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make a result."""
    found = {"python": platform.python_version(), "recbole_genrec": __version__}
    for package in ("recbole", "torch", "transformers", "numpy", "pandas", "scipy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: torch.device) -> dict[str, Any]:
    """The machine; `memory` in bytes, `threads` as torch uses them in each of the `processes`."""
    affinity = getattr(os, "sched_getaffinity", None)  # the cores we may use
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor_name(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "processes": world_size(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "device": str(device),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def reset_peak_memory(device: torch.device) -> None:
    """Start a new count of `peak_memory` where that is possible, which is on a GPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: by tensors on a GPU, else by this process as a whole."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kibibytes


def _processor_name() -> str:
    """As the system calls it; `platform.processor` is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
