"""What this machine has to give, and the shapes in which it is given."""

import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from fettle.types.clusters import Resources, UnitShape

SHAPES_FILE = Path(__file__).parent / "shapes.toml"
_MEBIBYTE = 2**20


@cache
def shapes() -> dict[str, UnitShape]:
    """The unit shapes by name, as shapes.toml lists them."""
    listed = tomllib.loads(SHAPES_FILE.read_text(encoding="utf-8"))
    return {name: _shape(name, facts) for name, facts in listed.items()}


def this_machine(devices: Path = Path("/dev"), control_group: Path = Path("/sys/fs/cgroup")) -> Resources:
    """The cores that this process may use, the memory that it may take, and the GPUs.

    Args:
        devices: where NVIDIA's driver puts a file for each GPU.
        control_group: where a container's limits are.
    """
    return Resources(cores=_cores(control_group), memory_bytes=_memory(control_group), gpus=_gpus(devices))


def _shape(name: str, facts: dict[str, Any]) -> UnitShape:
    facts = dict(facts)
    cores, gpus = facts.pop("cores"), facts.pop("gpus")
    unit = Resources(cores=cores, memory_bytes=facts.pop("memory_mib") * _MEBIBYTE, gpus=gpus)
    return UnitShape(name=name, unit=unit, **facts)


def _cores(control_group: Path) -> float:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _told(control_group / "cpu.max").partition(" ")
    return min(allowed, int(quota) / int(period)) if quota.isdecimal() and period.isdecimal() else float(allowed)


def _memory(control_group: Path) -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _told(control_group / "memory.max")
    return min(machine, int(limit)) if limit.isdecimal() else machine


def _gpus(devices: Path) -> int:
    return sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in devices.glob("nvidia*"))


def _told(path: Path) -> str:
    """What a limit's file says; "" where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
