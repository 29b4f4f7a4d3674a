"""What must be true of an installation at every moment when nothing runs, whatever was killed before."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Set
from typing import Any

from fettle.errors import FettleError
from fettle.services.batches import UNFINISHED
from fettle.services.orphans import needed_artifacts
from fettle.services.platform import Platform
from fettle.store.artifacts import ArtifactStore
from fettle.store.audit import AuditLog
from fettle.store.database import Database
from fettle.store.repository import STORED, Artifact, Repository
from fettle.types.access import DEFAULT_PROJECT, AuditEvent
from fettle.types.lifecycle import MOVES
from fettle.types.record import Record
from fettle.types.resources import Batch, CustomModel, TuningJob, Upload

Faults = Iterator[str]
#: Whoever is told of a job's states by its events is told of these.
JOB_STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")


def faults_of(platform: Platform) -> dict[str, list[str]]:
    """Everything that is wrong in an installation, by the claim that it breaks; opened anew, so that it is swept.

    Args:
        platform: of which nothing runs.
    """
    database = Database.open(platform.settings.database)
    try:
        return {claim: list(look(platform, Repository(database))) for claim, look in CLAIMS.items()}
    finally:
        database.close()


def _histories(_: Platform, repository: Repository) -> Faults:
    log = _changes(AuditLog(repository.database))
    for kind, stored in STORED.items():
        for record in repository.find(kind) if stored.is_audited and stored.lifecycle else ():
            yield from _history_faults(stored.lifecycle, record, log[stored.what, getattr(record, stored.key)])


def _history_faults(lifecycle: str, record: Any, changes: list[AuditEvent]) -> Faults:
    name, state = f"{lifecycle} {record.id}", type(record).model_fields["state"].default
    times = [change.action for change in changes].count("created")
    if times != (record.id != DEFAULT_PROJECT):  # that one is made with the tables
        yield f"{name} was created {times} times"
    for change in changes:
        after = change.detail.get("state", state)
        if "state" in change.detail and after not in MOVES[lifecycle][state]:
            yield f"{name} went from {state} to {after}"
        state = after
    if state != record.state:
        yield f"{name} is {record.state}, and the log ends with {state}"


def _changes(log: AuditLog) -> dict[tuple[str, str], list[AuditEvent]]:
    found, after = defaultdict(list), 0
    while page := log.page(after=after, limit=1000):
        after = page[-1].id
        for change in page:
            found[change.kind, change.subject].append(change)
    return found


def _models(_: Platform, repository: Repository) -> Faults:
    made = defaultdict(list)
    for model in repository.find(CustomModel):
        made[model.job_id].append(model.state)
    for job in repository.find(TuningJob):
        finished = [state for state in made[job.id] if state != "creating"]
        expected = {0, 1} if job.sweep else {1}  # of a sweep's jobs, the best one's model is kept
        if len(made[job.id]) > 1 or len(finished) not in (expected if job.state == "succeeded" else {0}):
            yield f"{job.id} is {job.state} and has models that are {made[job.id]}"


def _events(platform: Platform, repository: Repository) -> Faults:
    for job in repository.find(TuningJob):
        told = [event.type for event in platform.events.of(job.id)]
        last = next((kind for kind in reversed(told) if kind in JOB_STATES), "queued")
        if told.count("created") != 1 or last != job.state:
            yield f"{job.id} is {job.state}; it was told created {told.count('created')} times and then {last}"


def _artifacts(platform: Platform, repository: Repository) -> Faults:
    settings = platform.settings
    store = ArtifactStore(settings.home / "artifacts", repository, settings.artifacts_url)
    with repository.read() as records:
        recorded, needed = {artifact.hash for artifact in records.find(Artifact)}, needed_artifacts(records)
    for content_hash in sorted(recorded | needed):
        try:
            store.verify(content_hash)
        except FettleError as error:
            yield str(error)
    yield from (f"the artifact {content_hash} belongs to nothing" for content_hash in recorded - needed)
    yield from (f"{path} is not recorded" for path in store.root.glob("??/*") if path.name not in recorded)
    # What lies there for a living process, it will remove itself.
    mine = f"{os.getpid()}-"
    yield from (f"{path} was left" for path in store.root.glob("staging/*") if not path.name.startswith(mine))


def _leftovers(platform: Platform, repository: Repository) -> Faults:
    for kind, folder, pattern, ends in _FOLDERS:
        root = platform.settings.home / folder
        states = {record.id: record.state for record in repository.find(kind)}  # type: ignore[attr-defined]
        for path in root.glob(pattern):
            state = states.get(path.relative_to(root).parts[0])
            if state is None or state in ends:
                yield f"{path} was left of what is {state}"


#: Records, where their files are, and in which states they have none.
_FOLDERS: tuple[tuple[type[Record], str, str, Set[str]], ...] = (
    (Upload, "uploads", "*", MOVES["upload"].keys() - {"pending"}),
    (Batch, "batches", "*", MOVES["batch"].keys() - set(UNFINISHED)),
    (TuningJob, "jobs", "*/work", {"succeeded"}),
    (TuningJob, "jobs", "*/output", {"succeeded"}),
)


CLAIMS: dict[str, Callable[[Platform, Repository], Faults]] = {
    "the audit log tells of each thing a legal history, which ends with its state": _histories,
    "every job that succeeded has one model, and no other has any": _models,
    "a job's events end with its state": _events,
    "every artifact that is recorded or named is whole, and none is left over": _artifacts,
    "no files of what has ended are left": _leftovers,
}
