"""`fettle status`: what runs and what is kept, and nothing of servers that were killed."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from fettle.cli.main import main
from fettle.clusters.processes import ProcessId
from fettle.services.servers import RunningServer, Servers


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path))
    return tmp_path


class Ready(BaseHTTPRequestHandler):
    """A server of which one engine still loads."""

    def do_GET(self):
        self.send_response(503 if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(b'{"status": "not ready", "engines": {"loading": 1}}')

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def told(capsys) -> dict:
    assert main(["status", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_fresh_installation_says_how_to_begin(home, capsys):
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "none; `fettle up` starts one" in said
    assert str(home) in said


def test_a_server_is_asked_how_it_is(home, answering, capsys):
    with Servers(home).listed(os.getpid(), answering):
        [server] = told(capsys)["servers"]
        main(["status"])
    assert (server["state"], server["engines"], server["base_url"]) == ("not ready", {"loading": 1}, answering)
    assert f"{answering}, not ready, engines: 1 loading (pid {os.getpid()})" in capsys.readouterr().out
    assert told(capsys)["servers"] == []


def test_a_server_that_does_not_answer_is_told(home, capsys):
    with Servers(home).listed(os.getpid(), "http://127.0.0.1:1/v1"):
        assert [server["state"] for server in told(capsys)["servers"]] == ["does not answer"]


def test_servers_that_were_killed_and_other_files_are_left_out(home, capsys):
    gone = ProcessId(pid=os.getpid(), started="before this process")
    (home / "servers").mkdir()
    path = home / "servers" / "7.json"
    path.write_text(
        RunningServer(process=gone, base_url="http://x/v1", started_at="2026-01-01T00:00:00Z").model_dump_json()
    )
    (home / "servers" / "torn.json").write_text("{")
    assert told(capsys)["servers"] == []
    assert not path.exists()
