"""OpenAI's batches: the official client against `fettle up`, which is killed while it answers."""

import json
import signal

import pytest

from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.testing.models import tiny_model
from tests.e2e.server import BASE, serving, until

pytestmark = pytest.mark.e2e


def lines(client, file_id):
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_a_batch_sent_in_parts_is_answered_once_though_its_server_is_killed(tmp_path):
    home = tmp_path / "home"
    with Platform(Settings(home=home)) as platform:
        platform.base_models.pull(tiny_model(tmp_path / BASE), BASE)
    names = [f"request-{number}" for number in range(60)]
    body = {"model": BASE, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
    rows = [{"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body} for name in names]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    settings = {"filename": "requests.jsonl", "bytes": len(text), "mime_type": "text/jsonl", "purpose": "batch"}
    with serving(home) as (process, client):
        upload = client.uploads.create(**settings)
        parts = [client.uploads.parts.create(upload_id=upload.id, data=text[:1000]).id]
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    with serving(home) as (process, client):
        parts.append(client.uploads.parts.create(upload_id=upload.id, data=text[1000:]).id)
        file = client.uploads.complete(upload.id, part_ids=parts).file
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"of": "test"}
        )
        begun = until(lambda: (found := client.batches.retrieve(batch.id)).request_counts.completed > 0 and found)
        assert begun.status == "in_progress"
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    with serving(home) as (_, client):
        done = until(lambda: (found := client.batches.retrieve(batch.id)).status == "completed" and found)
        answers = lines(client, done.output_file_id)
        assert [one.id for one in client.batches.list()] == [batch.id]
    assert sorted(line["custom_id"] for line in answers) == sorted(names)
    assert {line["response"]["status_code"] for line in answers} == {200}
    assert (done.request_counts.completed, done.error_file_id, done.metadata) == (len(names), None, {"of": "test"})
