"""What must be true when everything has settled: nothing lost, nothing doubled, all states legal, nobody left over."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from load import Ledger
from victims import workers

from fettle.api.openai.ids import own
from fettle.errors import FettleError
from fettle.services.backup import restore
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.database import Database
from fettle.store.repository import Repository
from fettle.testing.consistency import faults_of
from fettle.types.clusters import Cluster
from fettle.types.endpoints import Endpoint
from fettle.types.resources import Batch, TuningJob, Upload

Faults = Iterator[str]


def faults(home: Path, ledger: Ledger) -> dict[str, list[str]]:
    """Everything that is wrong, by what should have been so."""
    found = {
        "no process is left": [f"process {pid} still runs" for pid in workers(home)],
        "every answer is of a documented kind": ledger.unexpected,
    }
    with Platform(Settings(home=home)) as platform:
        found |= {claim: list(look(platform, ledger)) for claim, look in CLAIMS.items()}
        return found | faults_of(platform)


def faults_of_backup(file: Path) -> list[str]:
    """Everything that is wrong in a home that is made of a backup."""
    settings = Settings(home=file.with_suffix(".restored"))
    restore(settings, file)
    with Platform(settings) as platform:
        return [f"{claim}: {one}" for claim, found in faults_of(platform).items() for one in found]


def _files(platform: Platform, ledger: Ledger) -> Faults:
    for shown, digest in ledger.files.items():
        try:
            content = platform.files.path(platform.files.get(own("file", shown))).read_bytes()
        except FettleError as error:
            yield str(error)
            continue
        if hashlib.sha256(content).hexdigest() != digest:
            yield f"{shown} has another content"


def _states(platform: Platform, ledger: Ledger) -> Faults:
    kinds: tuple[tuple[type[Any], dict[str, set[str]]], ...] = (
        (TuningJob, {own("job", shown): right for shown, right in ledger.jobs.items()}),
        (Upload, ledger.uploads),
        (Endpoint, ledger.endpoints),
        (Cluster, ledger.clusters),
    )
    repository = Repository(Database.open(platform.settings.database))
    for kind, told in kinds:
        states = {record.id: record.state for record in repository.find(kind)}
        for key, right in told.items():
            yield from _wrong(key, states.get(key), right)


def _wrong(name: str, state: str | None, right: set[str]) -> Faults:
    if state not in right:
        yield f"{name} is {state}; {' or '.join(sorted(right))} was acknowledged"


def _batches(platform: Platform, ledger: Ledger) -> Faults:
    for batch_id, names in ledger.batches.items():
        batch = platform.batches.get(batch_id)
        answered = Counter(line["custom_id"] for line in _answers(platform, batch))
        yield from _wrong(batch_id, batch.state, {"completed"})
        yield from (f"{batch_id}: {name} has no answer" for name in names if not answered[name])
        yield from (f"{batch_id}: {name} has {times} answers" for name, times in answered.items() if times > 1)


def _batch_errors(platform: Platform, ledger: Ledger) -> Faults:
    for batch_id in ledger.batches:
        for line in _answers(platform, platform.batches.get(batch_id)):
            if not line["response"] or line["response"]["status_code"] != 200:
                yield f"{batch_id}: {line}"


def _answers(platform: Platform, batch: Batch) -> list[dict[str, Any]]:
    paths = [platform.files.path(platform.files.get(one)) for one in (batch.output_file, batch.error_file) if one]
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


CLAIMS: dict[str, Callable[[Platform, Ledger], Faults]] = {
    "every acknowledged file is there, as it was sent": _files,
    "every acknowledged state is the state": _states,
    "every line of a batch has one answer": _batches,
    "no line of a batch fails because of a kill": _batch_errors,
}
