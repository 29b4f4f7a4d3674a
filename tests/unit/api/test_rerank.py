"""Documents ranked over HTTP, as vLLM's, Jina's and Cohere's clients ask for it."""

import asyncio

import httpx
import pytest

from fettle.errors import InvalidInput

HEADERS = {"authorization": "Bearer fettle-test"}
NEAR = {"query": (1.0, 0.0), "far": (-0.6, 0.8), "near": (0.8, 0.6), "same": (1.0, 0.0), "also near": (0.8, 0.6)}
ASKED = {"model": "base", "query": "query", "documents": ["far", "near", "same", "also near"]}


def ask(serving, path="/v1/rerank", failure=None, **fields):
    async def test():
        async with serving() as served, httpx.AsyncClient(timeout=60) as client:
            served.engines.vectors = NEAR
            served.engines.failures = {"base": failure} if failure else {}
            return await client.post(served.url + path, json=ASKED | fields, headers=HEADERS)

    return asyncio.run(test())


def told(answer):
    return [(one["index"], pytest.approx(one["relevance_score"], abs=1e-6)) for one in answer.json()["results"]]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_the_nearest_document_comes_first_and_of_equals_the_first(path, serving):
    answer = ask(serving, path)
    assert told(answer) == [(2, 1.0), (1, 0.8), (3, 0.8), (0, -0.6)]
    body = answer.json()
    assert [one["document"]["text"] for one in body["results"]] == ["same", "near", "also near", "far"]
    assert (body["model"], body["usage"]["total_tokens"]) == ("base", len("queryfarnearsamealso near"))


def test_as_many_as_are_wanted_come_with_their_texts_or_without(serving):
    assert told(ask(serving, top_n=2)) == [(2, 1.0), (1, 0.8)]
    assert len(told(ask(serving, top_n=0))) == len(told(ask(serving, top_n=99))) == 4
    assert all("document" not in one for one in ask(serving, return_documents=False).json()["results"])


def test_documents_may_come_as_objects_with_a_text(serving):
    answer = ask(serving, documents=[{"text": "far"}, "near"])
    assert told(answer) == [(1, 0.8), (0, -0.6)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"query": " "}, ["'query' is ' ': expected a text"]),
        ({"documents": []}, ["a list of one text or more"]),
        ({"documents": ["a", "", {"title": "x"}]}, ["documents 1, 2"]),
        ({"documents": ["a"] * 2048}, ["at most 2047"]),
        ({"top_n": -1, "query": "", "rank_fields": ["a"]}, ["'top_n'", "'query'", "'rank_fields'"]),
        ({"max_tokens_per_doc": 10}, ["'max_tokens_per_doc'", "not supported"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_every_fault(fields, words, serving):
    answer = ask(serving, **fields)
    assert answer.status_code == 400
    assert all(word in answer.json()["error"]["message"] for word in words)


def test_errors_of_the_engine_are_told(serving):
    answer = ask(serving, failure=InvalidInput("'base' writes text", param="model"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert ask(serving, model="bass").status_code == 404
