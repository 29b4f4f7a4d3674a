"""How long pages of lists take when there are 10,000 rows of each resource, on SQLite and on PostgreSQL."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from sqlalchemy import insert

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import write_result

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store import tables
from fettle.store.database import Database
from fettle.store.repository import STORED, _row
from fettle.testing.postgres import running_postgres
from fettle.types.access import ApiKey, Project
from fettle.types.clusters import Cluster
from fettle.types.endpoints import Endpoint, VersionLabel
from fettle.types.ids import now
from fettle.types.record import Record
from fettle.types.resources import Batch, CustomModel, Order, StoredFile, TuningJob, Upload
from fettle.types.responses import StoredResponse
from fettle.types.tuning import StepEvent, TuningSpec

KEY = "fettle-bench"
TARGET_SECONDS = 0.05
START = now() - timedelta(days=30)
SPEC = TuningSpec(base="pocket", method="lora", name="tickets")
STEP = StepEvent(
    step=1, total_steps=9, epoch=0.1, loss=1, token_accuracy=0.5, learning_rate=1e-3, gradient_norm=1,
    tokens_per_second=1, seconds_left=1,
).model_dump(mode="json")  # fmt: skip
#: Route -> its greatest page, and what the page after it is asked with (None: it has no pages).
ROUTES: dict[str, tuple[int, Callable[[int], str]]] = {
    "/api/v1/tuning-jobs": (100, lambda n: f"job_{n}"),
    "/api/v1/tuning-jobs/job_0/events": (100, str),
    "/api/v1/custom-models": (100, lambda n: f"model_{n}"),
    "/api/v1/clusters": (100, lambda n: f"cluster_{n}"),
    "/api/v1/endpoints": (100, lambda n: f"endpoint_{n}"),
    "/api/v1/version-labels": (100, lambda n: f"label_{n}"),
    "/api/v1/keys": (100, lambda n: f"key_{n}"),
    "/api/v1/projects": (100, lambda n: f"project-{n}"),
    "/api/v1/audit": (100, str),
    "/v1/files": (100, lambda n: f"file-{n}"),
    "/v1/batches": (100, lambda n: f"batch_{n}"),
    "/v1/fine_tuning/jobs": (100, lambda n: f"ftjob-{n}"),
    "/v1/fine_tuning/jobs/ftjob-0/events": (100, lambda n: f"ftevent-{n}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="of each resource")
    parser.add_argument("--requests", type=int, default=100, help="to each route, at pages that are spread evenly")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    args = parser.parse_args()
    measured = [row for name in args.databases for row in on(name, args.rows, args.requests)]
    for row in measured:
        print(f"{row['database']:10} {row['route']:40} limit {row['limit']:3}  {told(row)}")
    holds = all(row["p95_seconds"] < TARGET_SECONDS for row in measured)
    verdict = "holds" if holds else "does not hold"
    print(f"\nevery page under {TARGET_SECONDS * 1000:.0f} ms at the 95th percentile: {verdict}")
    about = {"rows": args.rows, "requests": args.requests, "target_seconds": TARGET_SECONDS, "holds": holds}
    write_result(Path(__file__).parent / "results", "pages", {**about, "routes": measured})
    sys.exit(not holds)


def told(row: dict[str, Any]) -> str:
    return f"p50 {row['p50_seconds'] * 1000:6.1f} ms  p95 {row['p95_seconds'] * 1000:6.1f} ms"


def on(database: str, num_rows: int, num_requests: int) -> list[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory() as home,
        database_url(database) as url,
        Platform(Settings(home=Path(home), database_url=url)) as platform,
    ):
        fill(platform._database, num_rows)
        found = asyncio.run(measure(platform, num_rows, num_requests))
    return [{"database": database, **row} for row in found]


@contextmanager
def database_url(name: str) -> Iterator[str]:
    if name == "sqlite":
        yield ""
        return
    with running_postgres() as server, server.database() as url:
        yield url


async def measure(platform: Platform, num_rows: int, num_requests: int) -> list[dict[str, Any]]:
    app = create_app(platform, KeyCheck.of(KEY))
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as client:
        return [
            await one(client, route, limit, [name(n) for n in places(num_rows, num_requests)])
            for route, (most, name) in ROUTES.items()
            for limit in (20, most)
        ]


def places(num_rows: int, number: int) -> Sequence[int]:
    """Rows behind which a page is asked for, spread evenly."""
    return [(place * num_rows) // number + 1 for place in range(number)]


async def one(client: httpx.AsyncClient, route: str, limit: int, afters: Sequence[str]) -> dict[str, Any]:
    seconds = []
    # The first request is not measured: it opens connections.
    for after in [None, None, *afters]:
        begin = time.perf_counter()
        answer = await client.get(route, params={"limit": limit} | ({"after": after} if after else {}))
        seconds.append(time.perf_counter() - begin)
        answer.raise_for_status()
    cuts = quantiles(seconds[1:], n=20)
    return {"route": route, "limit": limit, "p50_seconds": round(cuts[9], 5), "p95_seconds": round(cuts[18], 5)}


def fill(database: Database, number: int) -> None:
    """Write so many rows of each resource."""
    for make in (project, key, job, model, file, upload, batch, cluster, endpoint, label, response):
        records = [make(place) for place in range(number)]
        table = STORED[type(records[0])].table
        with database.write() as connection:
            connection.execute(insert(table), [_row(record, table) for record in records])
    with database.write() as connection:
        connection.execute(insert(tables.events), [event(place) for place in range(number)])
        connection.execute(insert(tables.audit), [change(place) for place in range(number)])
        # What PostgreSQL does by itself, a minute after so many rows.
        connection.exec_driver_sql("ANALYZE")


def about(kind: str, place: int) -> dict[str, Any]:
    return {"id": f"{kind}_{place}", "created_at": START + timedelta(seconds=place)}


def project(place: int) -> Record:
    return Project(id=f"project-{place}", created_at=START + timedelta(seconds=place))


def key(place: int) -> Record:
    return ApiKey(**about("key", place), prefix=f"fettle-{place:08x}", digest=f"{place:064x}")


def job(place: int) -> Record:
    where = {"dataset_hash": "d", "train_path": "/nowhere"}
    return TuningJob(**about("job", place), **where, spec=SPEC, state="succeeded", order=Order(train_file="file_1"))


def model(place: int) -> Record:
    named = {"name": f"model-{place % 100}", "version": place // 100 + 1, "state": "active", "base": "pocket"}
    made = {"method": "lora", "kind": "lora", "job_id": f"job_{place}", "dataset_hash": "d", "artifact": f"a{place}"}
    return CustomModel.model_validate({**about("model", place), **named, **made, "size_bytes": 1})


def file(place: int) -> Record:
    return StoredFile(**about("file", place), filename="a.jsonl", purpose="fine-tune", artifact="a", size_bytes=1)


def upload(place: int) -> Record:
    moment = START + timedelta(seconds=place)
    return Upload(
        **about("upload", place), filename="a", purpose="batch", size_bytes=1, state="expired", expires_at=moment
    )


def batch(place: int) -> Record:
    made = {"endpoint": "/v1/completions", "input_file": "file_1", "state": "completed", "expires_at": START}
    return Batch.model_validate({**about("batch", place), **made})


def cluster(place: int) -> Record:
    named = {"name": f"cluster-{place}", "type": "hosting", "shape": "cpu-tiny", "units": 1, "state": "deleted"}
    return Cluster.model_validate({**about("cluster", place), **named})


def endpoint(place: int) -> Record:
    named = {"name": f"endpoint-{place}", "cluster_id": f"cluster_{place}", "state": "inactive", "model": "pocket"}
    return Endpoint.model_validate({**about("endpoint", place), **named, "base": "pocket"})


def label(place: int) -> Record:
    return VersionLabel(id=f"label_{place}", name=f"model-{place % 100}", label=f"label-{place // 100}", version=1)


def response(place: int) -> Record:
    return StoredResponse(**about("resp", place), input_items=(), answer={"output": []})


def event(place: int) -> dict[str, Any]:
    return {"subject": "job_0", "type": "step", "at": START + timedelta(seconds=place), "body": STEP}


def change(place: int) -> dict[str, Any]:
    what = {"action": "created", "kind": "file", "subject": f"file_{place}", "who": "system", "project_id": "default"}
    body = {"origin": "", "request_id": "", "detail": {}}
    return {**what, "at": START + timedelta(seconds=place), "body": body}


if __name__ == "__main__":
    main()
