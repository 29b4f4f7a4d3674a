"""`fettle bench serve` against a real server whose models answer from a script."""

import asyncio
import json
import threading
from contextlib import contextmanager

import pytest

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.server import Server, listening
from fettle.cli.main import main
from fettle.errors import TooManyRequests
from fettle.testing.scripted import ScriptedPlatform

KEY = "fettle-test"


@contextmanager
def serving():
    """A scripted platform's address, and its engines, served by a thread."""
    platform, ready = ScriptedPlatform(["Hello", " wide", " world"]), threading.Event()
    with listening("127.0.0.1", 0) as connection:
        server = Server(create_app(platform, KeyCheck.of(KEY)), ready.set)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([connection])))
        thread.start()
        try:
            assert ready.wait(60)
            yield f"http://127.0.0.1:{connection.getsockname()[1]}/v1", platform.engines
        finally:
            server.should_exit = True
            thread.join(60)


@pytest.fixture(scope="module")
def served():
    with serving() as found:
        yield found


@pytest.fixture
def bench(served, monkeypatch, capsys):
    """Runs the command against the server; its exit code, stdout and stderr."""
    monkeypatch.setenv("KEY_OF_TEST", KEY)

    def run(*arguments, url=served[0], key="KEY_OF_TEST"):
        code = main(["bench", "serve", "--url", url, "--api-key-env", key, *arguments])
        return code, *capsys.readouterr()

    return run


def test_two_models_at_two_loads_give_one_document_and_a_file_and_a_picture(bench, tmp_path):
    output, picture = tmp_path / "out.json", tmp_path / "made" / "out.svg"
    arguments = [
        "--model",
        "tickets",
        "--model",
        "base",
        "--popularity",
        "zipf:1",
        "--concurrency",
        "4",
        "--rate",
        "500",
    ]
    arguments += ["--requests", "24", "--prompt-length", "fixed:9", "--slo-ttft", "60", "--json"]
    code, out, err = bench(*arguments, "--output", str(output), "--plot", str(picture))
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [result["load"]["concurrency"] for result in told["results"]] == [4, None]
    for result in told["results"]:
        found = result["all"]
        assert (found["num_requests"], found["num_answered"], found["failures"]) == (24, 24, [])
        # The script's tokens are three; a prompt's are its words.
        assert (found["output_tokens"], found["prompt_tokens"]) == (24 * 3, 24 * 9)
        assert found["counted_by"] == {"usage": 24}
        assert 0 < found["ttft_seconds"]["p50"] <= found["e2e_seconds"]["p99"]
        assert found["goodput"] == pytest.approx(found["requests_per_second"])
        assert result["models"]["tickets"]["num_requests"] > result["models"]["base"]["num_requests"] > 0
        assert "requests" not in result
    written = json.loads(output.read_text())
    assert [len(result.pop("requests")) for result in written["results"]] == [24, 24]
    assert written == told
    assert b"<svg" in picture.read_bytes()
    assert KEY not in output.read_text()


def test_people_get_tables(bench):
    code, out, err = bench("--model", "base", "--model", "tickets", "--concurrency", "1,2", "--requests", "6")
    assert (code, err) == (0, "")
    for part in ("1 client: 6 of 6", "2 clients: 6 of 6", "first token", "95 %", "counted by the server", "all loads"):
        assert part in out
    assert "tickets" in out
    assert "failed" not in out


def test_answers_without_streams_have_no_times_of_tokens(bench):
    code, out, _ = bench("--model", "base", "--requests", "3", "--no-stream", "--json")
    found = json.loads(out)["results"][0]["all"]
    assert (code, found["output_tokens"], found["ttft_seconds"], found["itl_seconds"]) == (0, 9, None, None)
    assert found["e2e_seconds"]["num"] == 3


def test_the_prompts_of_a_file_are_asked(bench, served, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "how far is it", "max_tokens": 2}\n')
    code, out, _ = bench("--model", "base", "--requests", "5", "--prompts", str(path), "--json")
    found = json.loads(out)["results"][0]["all"]
    assert (code, found["prompt_tokens"], found["output_tokens"]) == (0, 20, 10)
    assert served[1].requests[-1].messages[0].content == "how far is it"


def test_failures_are_shown_by_kind_and_what_fails_altogether_ends_with_1(bench, served):
    served[1].failures["tickets"] = TooManyRequests("as much as there can be")
    try:
        code, out, _ = bench("--model", "base", "--model", "tickets", "--requests", "20")
        assert code == 0
        assert "http_429" in out
        assert "as much as there can be" in out
        code, out, err = bench("--model", "tickets", "--requests", "5")
        assert (code, out) == (1, "")
        assert "tickets: http_429: as much as there can be" in err
        code, out, err = bench("--model", "tickets", "--requests", "5", "--warmup", "0")
        assert (code, err) == (1, "")
        assert "0 of 5 requests answered" in out
    finally:
        served[1].failures.clear()


def test_a_wrong_model_and_a_server_that_is_not_there_are_told_at_once(bench):
    code, out, err = bench("--model", "ticket")
    assert (code, out) == (1, "")
    assert "http_404" in err
    assert "tickets" in err
    with listening("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    code, out, err = bench("--model", "base", url=f"http://127.0.0.1:{port}/v1")
    assert (code, out) == (1, "")
    assert "cannot_connect" in err
    assert "--url" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--model", "a", "--popularity", "zip", "--concurrency", "0", "--rate", "x"],
            ["zipf:ALPHA", "concurrency", "rate"],
        ),
        (["--model", "a", "--plot", "picture.jpg"], [".png or .svg"]),
        (["--model", "a", "--prompts", "nowhere.jsonl"], ["nowhere.jsonl"]),
        ([], ["--model"]),
    ],
)
def test_bad_input_is_told_with_all_its_faults(bench, arguments, told):
    code, out, err = bench(*arguments)
    assert (code, out) == (2, "")
    for part in told:
        assert part in err


def test_a_variable_without_a_key_is_bad_input(bench, monkeypatch):
    code, _, err = bench("--model", "base", key="NO_KEY_HERE")
    assert (code, "NO_KEY_HERE" in err) == (2, True)
    monkeypatch.setenv("BROKEN_KEY", "two\nlines")
    code, _, err = bench("--model", "base", key="BROKEN_KEY")
    assert (code, "two" in err) == (2, False)
