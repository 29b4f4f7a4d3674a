"""Vectors and classes over HTTP, as OpenAI's and vLLM's clients ask for them."""

import asyncio

import httpx
import numpy as np
import openai
import pytest

from fettle.errors import InvalidInput


def run(test):
    return asyncio.run(test())


def test_the_openai_client_gets_its_vectors_packed_and_plain(serving):
    async def test():
        async with serving() as served, served.client() as client:
            packed = await client.embeddings.create(model="base", input=["one", "three"])
            plain = await client.embeddings.create(model="base", input="one", encoding_format="float")
            tokens = await client.embeddings.create(model="base", input=[[1, 2], [3]])
        assert [one.index for one in packed.data] == [0, 1]
        np.testing.assert_allclose(packed.data[1].embedding, [0.6, 0.8], atol=1e-6)
        np.testing.assert_allclose(plain.data[0].embedding, [0.6, 0.8], atol=1e-6)
        assert (packed.object, packed.data[0].object, packed.model) == ("list", "embedding", "base")
        assert (packed.usage.prompt_tokens, packed.usage.total_tokens) == (8, 8)
        assert len(tokens.data) == 2

    run(test)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": []}, "0 inputs; 1 to 2048"),
        ({"input": ["a", 3]}, "an input is a text, a list of texts"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 1}, "vectors of 'base' have 2 numbers"),
    ],
)
def test_what_cannot_be_done_is_refused(fields, words, serving):
    async def test():
        async with serving() as served, httpx.AsyncClient() as client:
            answer = await client.post(
                f"{served.url}/v1/embeddings",
                json={"model": "base"} | fields,
                headers={"authorization": "Bearer fettle-test"},
            )
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]

    run(test)


def test_the_size_that_vectors_have_can_be_asked_for(serving):
    async def test():
        async with serving() as served, served.client() as client:
            answer = await client.embeddings.create(model="base", input="a", dimensions=2)
        assert len(answer.data[0].embedding) == 2

    run(test)


@pytest.mark.parametrize("path", ["/v1/classify", "/classify"])
def test_texts_are_classified(path, serving):
    async def test():
        async with serving() as served, httpx.AsyncClient() as client:
            body = {"model": "base", "input": ["win", "lunch"]}
            headers = {"authorization": "Bearer fettle-test"}
            answer = (await client.post(served.url + path, json=body, headers=headers)).json()
            refused = await client.post(served.url + path, json=body)
        assert (answer["object"], answer["model"]) == ("list", "base")
        assert answer["data"] == [
            {"index": 0, "label": "spam", "probs": [0.25, 0.75], "num_classes": 2},
            {"index": 1, "label": "spam", "probs": [0.25, 0.75], "num_classes": 2},
        ]
        assert answer["usage"] == {"prompt_tokens": 8, "completion_tokens": 0, "total_tokens": 8}
        assert refused.status_code == 401

    run(test)


def test_errors_of_the_engine_are_told_and_free_its_place(serving):
    async def test():
        async with serving(max_running=1) as served, served.client() as client:
            served.engines.failures["base"] = InvalidInput("'base' writes text", param="model")
            for _ in range(2):
                with pytest.raises(openai.BadRequestError, match="writes text"):
                    await client.embeddings.create(model="base", input="a")
            with pytest.raises(openai.NotFoundError):
                await client.embeddings.create(model="bass", input="a")
            served.engines.failures.clear()
            assert (await client.embeddings.create(model="base", input="a")).data

    run(test)
