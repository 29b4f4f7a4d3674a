"""The server's log: who asked, what came of it, and no secret."""

import json
import logging

import pytest
from starlette.testclient import TestClient

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.cli.logs import write_logs
from fettle.testing.scripted import ScriptedPlatform
from fettle.types.access import Actor, acting_as

KEY = "fettle-a-key-that-nobody-shall-read"


@pytest.fixture(autouse=True)
def _logging_as_before():
    root, ours = logging.getLogger(), logging.getLogger("fettle")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    for logger, level in zip((root, ours), levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_request_is_a_line_with_its_id_and_without_its_key(form, capsys):
    write_logs("debug", form)
    with TestClient(create_app(ScriptedPlatform(), KeyCheck.of(KEY))) as client:
        sent = {"authorization": f"Bearer {KEY}", "x-request-id": "mine-1"}
        assert client.get("/v1/models?key=in-the-query", headers=sent).status_code == 200
        client.get("/v1/models", headers=sent | {"authorization": f"Bearer {KEY}-wrong"})
    said = capsys.readouterr().err
    assert KEY not in said
    assert "in-the-query" not in said
    if form == "json":
        [line] = [line for line in map(json.loads, said.splitlines()) if line.get("status") == 200]
        assert (line["message"], line["request_id"], line["level"]) == ("GET /v1/models", "mine-1", "INFO")
        assert line["seconds"] > 0
    else:
        assert "GET /v1/models request_id=mine-1 status=200" in said
        assert "status=401" in said


def test_what_is_told_on_behalf_of_a_request_names_it(capsys):
    write_logs("warning", "json")
    log = logging.getLogger("fettle.somewhere")
    with acting_as(Actor(who="key_1", request_id="req_1")):
        log.warning("a tuning job ended early", extra={"job": "job_1"})
    log.info("not told")
    told = json.loads(capsys.readouterr().err)
    assert {"job": "job_1", "request_id": "req_1", "key": "key_1"}.items() <= told.items()


def test_a_traceback_stays_behind_its_line(capsys):
    write_logs("warning", "text")
    try:
        raise ValueError("because")
    except ValueError:
        logging.getLogger("fettle").exception("it failed", extra={"job": "job_1"})
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("it failed job=job_1")
    assert rest[-1] == "ValueError: because"
