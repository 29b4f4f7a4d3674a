"""What `fettle doctor` looks at: one function per check, each says what it found and what to do."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from fettle.cli.output import bytes_text
from fettle.errors import FettleError, WorkerDied
from fettle.settings import Settings
from fettle.types.record import Record

GIB = 2**30
LITTLE_MEMORY_BYTES = 4 * GIB
LITTLE_DISK_BYTES = 2 * GIB
# Below this, bfloat16 is emulated: it saves memory and costs time.
FAST_BFLOAT16 = 1.2


class Finding(Record):
    """What a check found; only an error makes Fettle unusable."""

    check: str
    state: Literal["ok", "warning", "error"] = "ok"
    found: str
    hint: str = ""


Check = Callable[[Settings], list[Finding]]


def python(_: Settings) -> list[Finding]:
    """The interpreter."""
    return [Finding(check="python", found=f"{sys.version.split()[0]} at {sys.executable}")]


def home(settings: Settings) -> list[Finding]:
    """The home folder can be written."""
    return [Finding(check="home", found=f"{settings.make_home()} can be written")]


def disk(settings: Settings) -> list[Finding]:
    """There is room for models."""
    free = shutil.disk_usage(_existing(settings.home)).free
    if free < LITTLE_DISK_BYTES:
        hint = "Tuned models and checkpoints need room; free some, or set FETTLE_HOME to a larger disk."
        return [Finding(check="disk", state="warning", found=f"{bytes_text(free)} free", hint=hint)]
    return [Finding(check="disk", found=f"{bytes_text(free)} free")]


def memory(_: Settings) -> list[Finding]:
    """There is memory for models."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if total < LITTLE_MEMORY_BYTES:
        hint = "Enough for the packaged model; larger ones will not fit."
        return [Finding(check="memory", state="warning", found=bytes_text(total), hint=hint)]
    return [Finding(check="memory", found=bytes_text(total))]


def threads(settings: Settings) -> list[Finding]:
    """Workers use the cores there are, and not more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{settings.threads} per worker, {cores} cores"
    if settings.threads > cores:
        hint = f"More threads than cores slow each other down: set FETTLE_THREADS={cores}."
        return [Finding(check="threads", state="warning", found=found, hint=hint)]
    hint = f"FETTLE_THREADS={cores} uses them all." if settings.threads < cores else ""
    return [Finding(check="threads", found=found, hint=hint)]


def torch(settings: Settings) -> list[Finding]:
    """Torch runs, and which number type is fast; asked in a process of its own."""
    told = _probe(settings.threads)
    devices = ", ".join(told["devices"]) or "no GPU"
    ratio = told["gflops_bfloat16"] / told["gflops_float32"]
    speed = f"{told['gflops_bfloat16']} GFLOP/s, {ratio:.1f} times float32"
    return [
        Finding(check="torch", found=f"{told['torch']}, {devices}"),
        Finding(
            check="bfloat16",
            found=f"{'fast' if ratio >= FAST_BFLOAT16 else 'emulated'}: {speed}",
            hint="" if ratio >= FAST_BFLOAT16 else "FETTLE_DTYPE=float32 serves faster on this machine.",
        ),
    ]


def examine(check: Check, settings: Settings) -> list[Finding]:
    """What the check found; an error on its way is its finding."""
    try:
        return check(settings)
    except FettleError as error:
        return [Finding(check=check.__name__.strip("_"), state="error", found=error.message, hint=error.hint)]
    except OSError as error:
        return [Finding(check=check.__name__.strip("_"), state="error", found=str(error))]


def _probe(num_threads: int) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "fettle.workers.probe"]
    environment = os.environ | {"OMP_NUM_THREADS": str(num_threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        words = "\n".join(done.stderr.splitlines()[-3:])
        raise WorkerDied(
            f"torch cannot be used:\n{words}", hint="Install it again: `pip install --force-reinstall torch`."
        )
    return dict(json.loads(done.stdout))


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
