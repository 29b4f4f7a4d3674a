"""The official client against `fettle up` on a tiny random model with two adapters: real processes, real sockets."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import openai
import pytest

from fettle.clusters.processes import ProcessId
from fettle.testing.installation import BASE, tiny_installation

pytestmark = pytest.mark.e2e
MODELS = (BASE, "red", "blue")
CONTEXT = 4096
KEY = "fettle-e2e-key"
MESSAGES = [{"role": "user", "content": "the rain in the north"}]
PROMPTS = ("the other", "a thin man in the inn", "over and over", "north")


class Server:
    """`fettle up` in a process of its own."""

    def __init__(self, process, url):
        self.process, self.url = process, url

    def client(self, key=KEY, max_retries=0):
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=max_retries)

    def metrics(self):
        with self.client() as client:
            page = client.get("../metrics", cast_to=str)
        return {name: float(value) for name, value in re.findall(r"^(fettle_\S+) (\S+)$", page, re.MULTILINE)}

    def is_ready(self):
        with self.client() as client:
            try:
                return json.loads(client.get("../readyz", cast_to=str))["status"] == "ready"
            except openai.APIStatusError:
                return False

    def engine_pids(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"fettle.workers.engine" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def serving(home):
    environment = os.environ | {"FETTLE_HOME": str(home), "FETTLE_API_KEY": KEY, "FETTLE_THREADS": "1"}
    # In bfloat16 the size of a batch decides the last bits, and a random model's likeliest tokens are nearly equal.
    environment["FETTLE_DTYPE"] = "float32"
    command = [sys.executable, "-m", "fettle", "up", "--port", "0", "--base", BASE, "--json"]
    log_path = home / "up.log"
    with (
        log_path.open("ab") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            told = process.stdout.readline()
            assert told, log_path.read_text()
            server = Server(process, json.loads(told)["base_url"])
            until(server.is_ready)
            yield server
        finally:
            process.terminate()
            assert process.wait(120) == 0, log_path.read_text()


def until(condition, timeout_seconds=240):
    """Wait for a condition; fails when it does not come."""
    deadline, pause = time.monotonic() + timeout_seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        pause.wait(0.05)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tiny_installation(tmp_path_factory.mktemp("e2e") / "home", context=CONTEXT)


@pytest.fixture(scope="module")
def server(home):
    with serving(home) as running:
        yield running


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def tokens_of(answer):
    return [choice.logprobs.tokens for choice in answer.choices]


def test_all_models_are_listed_and_found(client):
    names = [model.id for model in client.models.list()]
    assert set(MODELS) <= set(names)
    assert {"red:1", "blue:1"} <= set(names)
    assert [client.models.retrieve(name).id for name in names] == names


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_says_what_the_whole_answer_says(client, model):
    asked = {"model": model, "messages": MESSAGES, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    parts = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole.choices[0].message.content
    # The details differ: the second one finds the prompt's blocks in the cache.
    details = {"prompt_tokens_details"}
    assert parts[-1].usage.model_dump(exclude=details) == whole.usage.model_dump(exclude=details)
    assert whole.usage.completion_tokens <= 24
    assert [p.choices[0].finish_reason for p in parts if p.choices][-1] == whole.choices[0].finish_reason


def test_the_custom_models_differ_from_the_base_and_from_each_other(client):
    asked = {
        "messages": MESSAGES,
        "max_tokens": 24,
        "temperature": 0,
        "logprobs": True,
        "extra_body": {"ignore_eos": True},
    }
    answers = [client.chat.completions.create(model=model, **asked).choices[0] for model in MODELS]
    said = {tuple(one.token for one in answer.logprobs.content) for answer in answers}
    assert len(said) == 3


def test_a_name_and_its_newest_version_are_the_same_model(client):
    asked = {"messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    named, versioned = (client.chat.completions.create(model=model, **asked) for model in ("red", "red:1"))
    assert named.choices[0].message.content == versioned.choices[0].message.content


def test_a_seed_repeats_samples_and_choices_differ(client):
    asked = {"model": "red", "prompt": "the other", "n": 3, "max_tokens": 16, "temperature": 1, "logprobs": 0}
    asked["extra_body"] = {"ignore_eos": True}
    first, again = client.completions.create(**asked, seed=7), client.completions.create(**asked, seed=7)
    other = client.completions.create(**asked, seed=8)
    assert tokens_of(first) == tokens_of(again)
    assert tokens_of(first) != tokens_of(other)
    assert len({tuple(tokens) for tokens in tokens_of(first)}) == 3
    assert first.usage.completion_tokens == 48


@pytest.mark.parametrize("model", MODELS)
def test_a_prompt_that_was_asked_before_is_told_as_cached_and_answered_the_same(server, client, model):
    ask = {"model": model, "prompt": "a thing that nobody here has asked before", "temperature": 0, "max_tokens": 8}
    counter = f'fettle_cached_prompt_tokens_total{{model="{model}"}}'
    first = client.completions.create(**ask)
    before = server.metrics()[counter]
    again = client.completions.create(**ask)

    told = [answer.usage.prompt_tokens_details.cached_tokens for answer in (first, again)]
    assert told == [0, (again.usage.prompt_tokens - 1) // 16 * 16]
    assert told[1] > 0
    assert again.choices[0].text == first.choices[0].text
    assert server.metrics()[counter] == before + told[1]


def test_logprobs_are_those_of_the_likeliest_tokens_when_greedy(client):
    answer = client.completions.create(model=BASE, prompt="the other", max_tokens=8, temperature=0, logprobs=3)
    told = answer.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == answer.usage.completion_tokens
    for logprob, top in zip(told.token_logprobs, told.top_logprobs, strict=True):
        assert logprob == max(top.values())
        assert logprob <= 0


def test_a_prompt_is_scored_the_same_whatever_comes_after_it(client):
    ids = list(range(10, 30))
    asked = {"model": "red", "max_tokens": 0, "echo": True, "logprobs": 0}
    long, short = (client.completions.create(prompt=prompt, **asked).choices[0] for prompt in (ids, ids[:12]))
    assert long.text == "".join(long.logprobs.tokens)
    assert long.logprobs.token_logprobs[0] is short.logprobs.token_logprobs[0] is None
    assert len(long.logprobs.token_logprobs) == 20
    assert short.logprobs.token_logprobs[1:] == pytest.approx(long.logprobs.token_logprobs[1:12], abs=1e-3)


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client):
    asked = {
        "model": BASE,
        "prompt": "the other",
        "max_tokens": 64,
        "temperature": 0,
        "extra_body": {"ignore_eos": True},
    }
    text = client.completions.create(**asked).choices[0].text
    stop = text[len(text) // 2 :][:2]
    stopped = client.completions.create(**asked, stop=[stop]).choices[0]
    assert stopped.finish_reason == "stop"
    assert stopped.text == text[: text.index(stop)]


PLACE = {
    "type": "object",
    "properties": {"kind": {"enum": ["town", "river"]}, "size": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["kind", "size"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_with_a_schema_is_json_that_fits_it(client, model):
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE, "strict": True}}
    answer = client.chat.completions.create(model=model, messages=MESSAGES, response_format=form, n=3, max_tokens=400)
    for choice in answer.choices:
        jsonschema.validate(json.loads(choice.message.content), PLACE)
        assert choice.finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_must_call_a_tool_calls_it_with_fitting_arguments(client, stream):
    tool = {"type": "function", "function": {"name": "find_place", "description": "Finds it.", "parameters": PLACE}}
    asked = {"model": BASE, "messages": MESSAGES, "tools": [tool], "tool_choice": "required", "max_tokens": 400}
    asked |= {"parallel_tool_calls": False}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)
    (choice,) = answer.choices
    (call,) = choice.message.tool_calls
    assert (call.function.name, choice.finish_reason) == ("find_place", "tool_calls")
    jsonschema.validate(json.loads(call.function.arguments), PLACE)

    turns = [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "far away"}]
    follow_up = asked | {"messages": [*MESSAGES, *turns], "tool_choice": "none", "max_tokens": 4}
    assert client.chat.completions.create(**follow_up).usage.completion_tokens


def test_requests_mixed_in_one_batch_give_the_tokens_that_each_gives_alone(server, client):
    asked = [
        {"model": model, "prompt": prompt, "max_tokens": 20 + 5 * place, "temperature": 0, "logprobs": 0}
        for place, prompt in enumerate(PROMPTS)
        for model in MODELS
    ]
    alone = [tokens_of(client.completions.create(**one)) for one in asked]

    async def together():
        async with openai.AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as many:
            return await asyncio.gather(*(many.completions.create(**one) for one in asked))

    assert [tokens_of(answer) for answer in asyncio.run(together())] == alone
    assert len({str(tokens) for tokens in alone}) > len(PROMPTS)


def test_a_client_that_hangs_up_frees_the_engine(server, client):
    stream = client.chat.completions.create(
        model="blue", messages=MESSAGES, stream=True, n=4, max_tokens=CONTEXT - 64, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    assert server.metrics()["fettle_requests_running"] == 1
    stream.close()
    until(lambda: server.metrics()["fettle_requests_running"] == 0)
    until(lambda: server.metrics()[f'fettle_engine{{engine="{BASE}",what="running"}}'] == 0)
    assert server.metrics()['fettle_requests_total{model="blue",outcome="cancelled"}'] == 1


def test_a_wrong_key_and_an_unknown_model_are_told_apart(server, client):
    with server.client(key="wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with pytest.raises(openai.NotFoundError, match="'red'") as caught:
        client.chat.completions.create(model="rad", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1),
        ("max_tokens", 0),
        ("n", 1000),
        ("tools", [{"type": "function", "function": {"name": "f g"}}]),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "objec"}}}),
        ("extra_body", {"structured_outputs": {"regex": "(a"}}),
        ("messages", [{"role": "user", "content": "word " * CONTEXT}]),
    ],
)
def test_what_cannot_be_done_is_a_400(client, field, value):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": BASE, "messages": MESSAGES, field: value})
    assert caught.value.body["message"]


def test_a_token_that_the_model_does_not_have_is_a_400(client):
    with pytest.raises(openai.BadRequestError, match="99999"):
        client.completions.create(model=BASE, prompt=[1, 99999])


def test_a_killed_engine_is_told_and_comes_back(server, client):
    asked = {"model": "red", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
    before = client.chat.completions.create(**asked).choices[0].message.content
    long = client.chat.completions.create(
        model=BASE, messages=MESSAGES, stream=True, max_tokens=CONTEXT - 64, extra_body={"ignore_eos": True}
    )
    next(iter(long))
    (pid,) = server.engine_pids()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="engine has ended"):
        list(long)
    until(server.is_ready)
    assert client.chat.completions.create(**asked).choices[0].message.content == before
    assert server.engine_pids() != [pid]


def test_a_waiting_request_gets_a_503_when_the_engine_is_killed(server, client):
    (pid,) = server.engine_pids()
    caught = []

    def ask():
        with server.client() as another, pytest.raises(openai.InternalServerError) as told:
            another.chat.completions.create(
                model=BASE, messages=MESSAGES, n=8, max_tokens=CONTEXT - 64, extra_body={"ignore_eos": True}
            )
        caught.append(told.value)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: server.metrics()["fettle_requests_running"] == 1)
    os.kill(pid, signal.SIGKILL)
    asking.join(240)
    assert caught[0].status_code == 503
    assert caught[0].response.headers["x-should-retry"] == "true"
    until(server.is_ready)
    assert client.chat.completions.create(model=BASE, messages=MESSAGES, max_tokens=2).choices


def test_a_server_that_is_asked_to_end_finishes_what_runs(home):
    with serving(home) as server, server.client() as client:
        engine = ProcessId.of(*server.engine_pids())
        stream = client.chat.completions.create(
            model=BASE, messages=MESSAGES, stream=True, max_tokens=500, extra_body={"ignore_eos": True}
        )
        parts = [next(iter(stream))]
        server.process.send_signal(signal.SIGTERM)
        parts += list(stream)
        assert parts[-1].choices[0].finish_reason == "length"
        assert server.process.wait(120) == 0
        assert not engine.is_alive


def test_engines_end_with_a_server_that_is_killed(home):
    process = subprocess.Popen(
        [sys.executable, "-m", "fettle", "up", "--port", "0", "--base", BASE, "--json"],
        env=os.environ | {"FETTLE_HOME": str(home), "FETTLE_API_KEY": KEY},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        server = Server(process, json.loads(process.stdout.readline())["base_url"])
        until(server.engine_pids)
        engine = ProcessId.of(*server.engine_pids())
        process.kill()
    until(lambda: not engine.is_alive)


def test_a_port_in_use_ends_with_a_message(server, home):
    port = server.url.rpartition(":")[2].removesuffix("/v1")
    second = subprocess.run(
        [sys.executable, "-m", "fettle", "up", "--port", port],
        env=os.environ | {"FETTLE_HOME": str(home), "FETTLE_API_KEY": KEY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use" in second.stderr
    assert "Traceback" not in second.stderr
