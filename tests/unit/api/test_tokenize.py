"""/tokenize and /detokenize, as vLLM's clients ask for them."""

import asyncio

import httpx
import pytest

HEADERS = {"authorization": "Bearer fettle-test"}
TOOL = {"type": "function", "function": {"name": "look"}}
TURNS = [{"role": "user", "content": "Hi"}]


def ask(serving, path, headers=HEADERS, **fields):
    async def test():
        async with serving() as served, httpx.AsyncClient(timeout=60) as client:
            return await client.post(served.url + path, json={"model": "base"} | fields, headers=headers)

    return asyncio.run(test())


def test_a_prompt_or_a_conversation_is_told_in_tokens(serving):
    told = {"count": 2, "max_model_len": 128, "tokens": [72, 105], "token_strs": None}
    assert ask(serving, "/tokenize", prompt="Hi").json() == told
    assert ask(serving, "/tokenize", messages=TURNS, tools=[TOOL]).json() == told
    spelled = ask(serving, "/tokenize", prompt="Hi", add_special_tokens=False, return_token_strs=True)
    assert spelled.json() == told | {"token_strs": ["H", "i"]}


def test_tokens_are_told_as_text(serving):
    assert ask(serving, "/detokenize", tokens=[72, 105]).json() == {"prompt": "Hi"}
    assert ask(serving, "/detokenize", tokens=[]).json() == {"prompt": ""}


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_only_who_may_call_is_answered_and_only_of_models_that_are_there(serving, path):
    assert ask(serving, path, headers={}).status_code == 401
    answer = ask(serving, path, model="bass", **({"prompt": "a"} if path == "/tokenize" else {"tokens": [1]}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("/tokenize", {}, ["either 'prompt' or 'messages'"]),
        ("/tokenize", {"prompt": "a", "messages": TURNS}, ["either 'prompt' or 'messages'"]),
        ("/tokenize", {"prompt": "a", "tools": [TOOL]}, ["no 'messages'"]),
        ("/tokenize", {"messages": TURNS, "add_special_tokens": True}, ["'add_special_tokens' is true"]),
        (
            "/tokenize",
            {"messages": TURNS, "add_generation_prompt": False, "chat_template": "x", "continue_final_message": True},
            ["'add_generation_prompt'", "'chat_template'", "'continue_final_message'"],
        ),
        ("/tokenize", {"prompt": 3, "model": ""}, ["'prompt'", "'model'"]),
        ("/detokenize", {}, ["'tokens' is missing"]),
        ("/detokenize", {"tokens": [1, -1, "a"]}, ["'tokens.1'", "'tokens.2'"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_every_fault(serving, path, fields, words):
    answer = ask(serving, path, **fields)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert all(word in message for word in words), message
