"""Spans, as a collector gets them."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.testclient import TestClient

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.tracing import traced
from fettle.errors import InvalidInput
from fettle.testing.scripted import ScriptedPlatform

KEY = "fettle-test"


@pytest.fixture
def collector():
    """A collector's address, and what it was sent."""
    sent = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            sent.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


def spans_of(sent):
    assert {path for path, _ in sent} == {"/v1/traces"}
    return [span for _, one in sent for part in one.resource_spans for of in part.scope_spans for span in of.spans]


def test_a_request_is_a_span_with_its_id_below_the_caller_s(collector):
    url, sent = collector
    app = create_app(ScriptedPlatform(), KeyCheck.of(KEY))
    caller = f"00-{'ab' * 16}-{'cd' * 8}-01"
    with traced(app, url), TestClient(app) as client:
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": "mine-1", "traceparent": caller}
        assert client.get("/v1/models", headers=headers).status_code == 200
        assert client.get("/healthz").status_code == 200
    [span] = spans_of(sent)
    told = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
    assert span.name == "GET /v1/models"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert {"fettle.request_id": "mine-1", "fettle.key": "installation"}.items() <= told.items()
    assert not any(KEY in str(value) for value in told.values())


def test_nothing_is_traced_unless_asked_for():
    app = create_app(ScriptedPlatform(), KeyCheck.of(KEY))
    with traced(app, ""), TestClient(app) as client:
        assert client.get("/healthz").status_code == 200


def test_what_is_no_address_is_refused():
    app = create_app(ScriptedPlatform(), KeyCheck.of(KEY))
    with pytest.raises(InvalidInput, match="localhost:4318' is no URL"), traced(app, "localhost:4318"):
        raise AssertionError
