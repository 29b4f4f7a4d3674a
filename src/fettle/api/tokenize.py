"""POST /tokenize and /detokenize, as vLLM's server has them: a prompt's tokens, and the text of tokens."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Request
from pydantic import Field, model_validator
from starlette.responses import Response

from fettle.api.backend import backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.shapes import ChatMessage, only, parsed, schema
from fettle.api.openai.tools import ChatTool
from fettle.api.permissions import needs
from fettle.api.streaming import encode, json_response, until_gone
from fettle.types.record import Record
from fettle.types.tokens import DetokenizeRequest, Tokenized, TokenizeRequest

router = APIRouter(tags=["vLLM"])
MAX_TOKENS = 1_000_000


class TokenizeBody(Record):
    """The body of POST /tokenize."""

    model: str = Field(min_length=1, max_length=512)
    prompt: str | None = None
    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1)] | None = None
    tools: tuple[ChatTool, ...] | None = Field(default=None, max_length=128)
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    add_generation_prompt: Annotated[bool | None, only(True)] = None
    continue_final_message: Annotated[bool | None, only(False)] = None
    chat_template: Annotated[Any, only()] = None
    chat_template_kwargs: Annotated[Any, only({})] = None
    mm_processor_kwargs: Annotated[Any, only({})] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        faults = []
        if (self.prompt is None) == (self.messages is None):
            faults.append("expected either 'prompt' or 'messages'")
        if self.tools and self.messages is None:
            faults.append("'tools' are given but no 'messages'")
        if self.add_special_tokens and self.messages is not None:
            faults.append("'add_special_tokens' is true, but the chat template has them; leave it out")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def request(self) -> TokenizeRequest:
        """The request as the engine knows it."""
        return TokenizeRequest(
            model=self.model,
            text=self.prompt,
            messages=self.messages and tuple(message.message for message in self.messages),
            tools=tuple(tool.tool for tool in self.tools or ()),
            is_bare=self.prompt is not None and self.add_special_tokens is False,
        )


class DetokenizeBody(Record):
    """The body of POST /detokenize."""

    model: str = Field(min_length=1, max_length=512)
    tokens: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=MAX_TOKENS)]


@router.post("/tokenize", openapi_extra=schema(TokenizeBody), dependencies=[needs("models:use")])
async def tokenize(request: Request) -> Response:
    """Tell a prompt's tokens, exactly as they are when the model is asked to answer it."""
    asked = parsed(TokenizeBody, await body_of(request))
    work = backend_of(request).tokenize(asked.request)
    return json_response(encode(_told(asked, await until_gone(request.receive, work))))


@router.post("/detokenize", openapi_extra=schema(DetokenizeBody), dependencies=[needs("models:use")])
async def detokenize(request: Request) -> Response:
    """Tell the text of tokens."""
    asked = parsed(DetokenizeBody, await body_of(request))
    work = backend_of(request).detokenize(DetokenizeRequest(model=asked.model, token_ids=asked.tokens))
    return json_response(encode({"prompt": await until_gone(request.receive, work)}))


def _told(asked: TokenizeBody, found: Tokenized) -> dict[str, Any]:
    return {
        "count": len(found.token_ids),
        "max_model_len": found.max_length,
        "tokens": found.token_ids,
        "token_strs": found.texts if asked.return_token_strs else None,
    }
