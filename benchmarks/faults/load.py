"""Clients that work while the platform is killed, and the ledger of all that it acknowledged to them."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread

import openai
from victims import KEY

BASE = "tiny"
CUSTOM = ("red", "blue")
NUM_LINES = 30
TIMEOUT_SECONDS = 240
_NATIVE = dict[str, object]
ROWS = b"".join(
    json.dumps({"prompt": f"{number} plus 1", "completion": str(number + 1)}).encode() + b"\n" for number in range(24)
)
#: Long enough to be met by a kill, short enough to end between two.
TUNING = {"type": "lora", "lora": {"hyperparameters": {"n_epochs": 40, "batch_size": 4, "checkpoint_interval": 20}}}


@dataclass
class Ledger:
    """What was acknowledged: id -> what must be found at the end.

    A change whose answer was cut off may have happened or not, so several states may be right.
    """

    files: dict[str, str] = field(default_factory=dict)  # id -> SHA-256 of the content
    jobs: dict[str, set[str]] = field(default_factory=dict)
    uploads: dict[str, set[str]] = field(default_factory=dict)
    batches: dict[str, list[str]] = field(default_factory=dict)  # id -> the `custom_id` of each line
    endpoints: dict[str, set[str]] = field(default_factory=dict)
    clusters: dict[str, set[str]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)


Round = Callable[[openai.OpenAI, Ledger, random.Random], None]


class Clients:
    """A thread for each kind of client, each going on after whatever happens to its requests."""

    def __init__(self, url: str, ledger: Ledger, seed: int) -> None:
        """Clients of the server at `url`."""
        self._url, self._ledger, self._stop = f"{url}/v1", ledger, Event()
        self._threads = [
            Thread(target=self._work, args=(one, random.Random(seed + number)), name=one.__name__)
            for number, one in enumerate(ROUNDS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End each after what it is doing."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, one: Round, draw: random.Random) -> None:
        with openai.OpenAI(base_url=self._url, api_key=KEY, max_retries=0, timeout=TIMEOUT_SECONDS) as client:
            while not self._stop.wait(draw.uniform(0, 0.3)):
                self._ledger.outcomes[f"{one.__name__}: {self._outcome(one, client, draw)}"] += 1

    def _outcome(self, one: Round, client: openai.OpenAI, draw: random.Random) -> str:
        try:
            one(client, self._ledger, draw)
        except openai.APITimeoutError:
            self._ledger.unexpected.append(f"{one.__name__}: no answer within {TIMEOUT_SECONDS} s")
            return "hung"
        except openai.APIConnectionError:
            self._stop.wait(0.5)
            return "cut off"
        except openai.APIStatusError as error:
            if error.status_code not in (409, 503):
                self._ledger.unexpected.append(f"{one.__name__}: {error}")
            return str(error.status_code)
        return "done"


def ask(client: openai.OpenAI, _: Ledger, draw: random.Random) -> None:
    """Ask a model something."""
    message = {"role": "user", "content": f"{draw.randrange(100)} plus 1"}
    answer = client.chat.completions.create(model=draw.choice((BASE, *CUSTOM)), messages=[message], max_tokens=16)
    assert answer.choices[0].finish_reason in ("stop", "length"), answer


def tune(client: openai.OpenAI, ledger: Ledger, draw: random.Random) -> None:
    """Order a job when there are few; pause or cancel one sometimes; resume what was paused or killed."""
    unfinished = [job for job in client.fine_tuning.jobs.list(limit=30).data if job.status not in ENDED]
    resume(client, ledger)
    if len(unfinished) < 3:
        file = _uploaded(client, ledger, ROWS, "fine-tune")
        job = client.fine_tuning.jobs.create(model=BASE, training_file=file, suffix="sums", method=TUNING)
        ledger.jobs[job.id] = {"succeeded"}
    elif draw.random() < 0.02:
        client.fine_tuning.jobs.pause(draw.choice(unfinished).id)
    elif draw.random() < 0.004:
        job = draw.choice(unfinished)
        ledger.jobs[job.id] = {"succeeded", "cancelled"}
        client.fine_tuning.jobs.cancel(job.id)
        ledger.jobs[job.id] = {"cancelled"}


ENDED = ("succeeded", "failed", "cancelled")


def resume(client: openai.OpenAI, ledger: Ledger) -> list[str]:
    """Queue all jobs again that are paused or failed; the ids of those that have not ended."""
    jobs = [job for job in client.fine_tuning.jobs.list(limit=100) if job.status not in ("succeeded", "cancelled")]
    for job in jobs:
        if job.status in ("paused", "failed"):
            client.fine_tuning.jobs.resume(job.id)
            ledger.outcomes[f"resumed when {job.status}"] += 1
    return [job.id for job in jobs]


def order_batch(client: openai.OpenAI, ledger: Ledger, draw: random.Random) -> None:
    """Have a file of questions answered, one after the other."""
    if unfinished_batches(client):
        return
    names = [f"line-{number}" for number in range(NUM_LINES)]
    content = b"".join(json.dumps(_line(name, draw)).encode() + b"\n" for name in names)
    file = _uploaded(client, ledger, content, "batch")
    batch = client.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h")
    ledger.batches[batch.id] = names


def unfinished_batches(client: openai.OpenAI) -> list[str]:
    """The batches that have not ended."""
    ends = ("completed", "failed", "expired", "cancelled")
    return [batch.id for batch in client.batches.list(limit=5).data if batch.status not in ends]


def upload(client: openai.OpenAI, ledger: Ledger, draw: random.Random) -> None:
    """Bring a file in three parts, or give it up half-way."""
    parts = [draw.randbytes(2000) for _ in range(3)]
    asked = {"filename": "parts.jsonl", "bytes": 6000, "mime_type": "text/jsonl", "purpose": "fine-tune"}
    begun = client.uploads.create(**asked)
    ledger.uploads[begun.id] = {"pending"}
    ids = [client.uploads.parts.create(upload_id=begun.id, data=part).id for part in parts]
    end = draw.choice(("completed", "completed", "cancelled"))
    ledger.uploads[begun.id] = {"pending", end}
    if end == "cancelled":
        client.uploads.cancel(begun.id)
    else:
        done = client.uploads.complete(begun.id, part_ids=ids)
        assert done.file, done
        ledger.files[done.file.id] = hashlib.sha256(b"".join(parts)).hexdigest()
    ledger.uploads[begun.id] = {end}


def serve(client: openai.OpenAI, ledger: Ledger, draw: random.Random) -> None:
    """Make an endpoint, switch it off and on, and give it up."""
    spec = {"name": f"e-{draw.randrange(10**9)}", "model": draw.choice(CUSTOM)}
    made = _post(client, "endpoints", spec)
    _through(client, ledger.endpoints, "endpoints", made, ["deactivate", "activate", "delete"])


def reserve(client: openai.OpenAI, ledger: Ledger, draw: random.Random) -> None:
    """Make a cluster and give it back."""
    name = f"c-{draw.randrange(10**9)}"
    made = _post(client, "clusters", {"name": name, "type": "hosting", "shape": "cpu-tiny", "units": 1})
    _through(client, ledger.clusters, "clusters", made, ["delete"])


ROUNDS: tuple[Round, ...] = (ask, tune, order_batch, upload, serve, reserve)
_STATE_AFTER = {"activate": "active", "deactivate": "inactive", "delete": "deleted"}


def _through(client: openai.OpenAI, states: dict[str, set[str]], kind: str, made: _NATIVE, verbs: list[str]) -> None:
    """Carry a thing through changes, each of which has happened once it is acknowledged."""
    key, state = str(made["id"]), str(made["state"])
    states[key] = {state}
    for verb in verbs:
        states[key] = {state, _STATE_AFTER[verb]}
        if verb == "delete":
            client.delete(_native(client, f"{kind}/{key}"), cast_to=object)
        else:
            _post(client, f"{kind}/{key}/{verb}", None)
        state = _STATE_AFTER[verb]
        states[key] = {state}


def _post(client: openai.OpenAI, path: str, body: _NATIVE | None) -> _NATIVE:
    return dict(client.post(_native(client, path), body=body, cast_to=object))  # type: ignore[call-overload]


def _native(client: openai.OpenAI, path: str) -> str:
    """The address of Fettle's own API, beside that of OpenAI's."""
    return str(client.base_url.join(f"/api/v1/{path}"))


def _uploaded(client: openai.OpenAI, ledger: Ledger, content: bytes, purpose: str) -> str:
    file = client.files.create(file=("rows.jsonl", content), purpose=purpose)
    ledger.files[file.id] = hashlib.sha256(content).hexdigest()
    return file.id


def _line(name: str, draw: random.Random) -> dict[str, object]:
    message = {"role": "user", "content": f"{draw.randrange(100)} plus 2"}
    body = {"model": draw.choice((BASE, *CUSTOM)), "messages": [message], "max_tokens": 24}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
