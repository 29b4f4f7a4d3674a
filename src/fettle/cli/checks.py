"""What `fettle doctor` looks at: one function per check, each says what it found and what to do."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from fettle.cli.output import bytes_text
from fettle.errors import FettleError, NotFound, WorkerDied
from fettle.registry.base_models import read_entry
from fettle.services.orphans import Orphan, Orphans
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.database import Database
from fettle.store.migrate import revision
from fettle.store.repository import Repository
from fettle.types.record import Record
from fettle.types.resources import BaseModelEntry, CustomModel

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


def database(settings: Settings) -> list[Finding]:
    """The records can be read and written, and where they are."""
    settings.make_home()
    opened = Database.open(settings.database)
    with opened.write() as connection:
        at = revision(connection)
    opened.close()
    return [Finding(check="database", found=f"{opened.product} at {opened.name}, revision {at}")]


def orphans(settings: Settings) -> list[Finding]:
    """Nothing lies about that belongs to nothing."""
    with _store(settings) as (repository, artifacts):
        left = Orphans(settings.home, repository, artifacts).find()
    if not left:
        return [Finding(check="orphans", found="none")]
    hint = "Killed processes left them. `fettle doctor --mend` removes them."
    return [Finding(check="orphans", state="warning", found=_listed(left), hint=hint)]


def mend(settings: Settings) -> list[Finding]:
    """Remove what belongs to nothing, here and at `artifacts_url`, send what is missing there, and tell what it was."""
    with _store(settings) as (repository, artifacts):
        removed = Orphans(settings.home, repository, artifacts).remove()
        unsent, unrecorded = artifacts.unsent(), artifacts.unrecorded()
        artifacts.send_all()
        for content_hash in unrecorded:
            artifacts.sweep_one(content_hash)
    told = [f"{_listed(removed)} removed"] if removed else []
    told += [f"{len(unsent)} artifacts sent to their URL"] if unsent else []
    told += [f"{len(unrecorded)} removed from it"] if unrecorded else []
    return [Finding(check="mended", found="; ".join(told))] if told else []


def base_models(settings: Settings) -> list[Finding]:
    """Every base model's files are there and whole."""
    with Platform(settings) as platform:
        entries = platform.base_models.list()
    if not entries:
        hint = "Install Fettle again, or bring a model: `fettle pull FOLDER`."
        return [Finding(check="base_models", state="error", found="none", hint=hint)]
    return [_base_model(entry) for entry in entries]


def artifacts(settings: Settings) -> list[Finding]:
    """Every custom model's files are there; files that belong to nothing are removed."""
    root = settings.home / "artifacts"
    before = len(list(root.glob("??/*")))
    with Platform(settings) as platform:  # opening it sweeps
        models = platform.everywhere.custom_models.list()
        missing = [] if settings.artifacts_url else [one for model in models for one in _missing(platform, model)]
    missing += _at_url(settings)
    orphaned = before - len(list(root.glob("??/*")))
    swept = f"; {orphaned} orphaned folders removed" if orphaned else ""
    return missing or [Finding(check="artifacts", found=f"{len(models)} custom models, all files there{swept}")]


CHECKS: tuple[Check, ...] = (python, torch, threads, memory, disk, home, database, orphans, base_models, artifacts)


def examine(check: Check, settings: Settings) -> list[Finding]:
    """What the check found; an error on its way is its finding."""
    try:
        return check(settings)
    except FettleError as error:
        return [Finding(check=check.__name__, state="error", found=error.message, hint=error.hint)]
    except OSError as error:
        return [Finding(check=check.__name__, state="error", found=str(error))]


@contextmanager
def _store(settings: Settings) -> Iterator[tuple[Repository, ArtifactStore]]:
    settings.make_home()
    opened = Database.open(settings.database)
    try:
        repository = Repository(opened)
        yield repository, ArtifactStore(settings.home / "artifacts", repository, settings.artifacts_url)
    finally:
        opened.close()


def _at_url(settings: Settings) -> list[Finding]:
    """What the folders at `artifacts_url` have too few or too many."""
    with _store(settings) as (_, store):
        unsent, unrecorded = store.unsent(), store.unrecorded()
    if not unsent and not unrecorded:
        return []
    found = f"{len(unsent)} artifacts are not at their URL, {len(unrecorded)} there belong to nothing"
    hint = "`fettle doctor --mend` sends the ones and removes the others."
    return [Finding(check="artifacts", state="error" if unsent else "warning", found=found, hint=hint)]


def _listed(orphans: Sequence[Orphan]) -> str:
    """How many there are of each kind."""
    return ", ".join(f"{number} x {what}" for what, number in Counter(orphan.what for orphan in orphans).items())


def _base_model(entry: BaseModelEntry) -> Finding:
    try:
        read_entry(Path(entry.path), name=entry.name, source=entry.source)
    except FettleError as error:
        hint = error.hint or f"Bring it again: `fettle pull SOURCE --name {entry.name}`."
        return Finding(check="base_models", state="error", found=f"{entry.name}: {error.message}", hint=hint)
    return Finding(check="base_models", found=f"{entry.name} is complete ({bytes_text(entry.size_bytes)})")


def _missing(platform: Platform, model: CustomModel) -> list[Finding]:
    try:
        platform.custom_models.path(model)
    except NotFound as error:
        found = f"{model.full_name}: {error.message}"
        return [Finding(check="artifacts", state="error", found=found, hint=error.hint)]
    return []


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
