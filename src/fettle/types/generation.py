"""What is asked of an engine and what it answers: the same records from every API dialect down to the sampler."""

import json
from typing import Any, Literal

from pydantic import Field

from fettle.types.record import Record

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "abort"]

#: Priority of a request that somebody waits for.
LIVE = 0
#: Priority of a request in a batch file.
BATCH = 1


class Tool(Record):
    """A function that an answer may call; `parameters` is the JSON schema of its arguments, as text."""

    name: str = Field(min_length=1)
    description: str = ""
    parameters: str = '{"type": "object", "properties": {}, "additionalProperties": false}'

    @property
    def spelled(self) -> dict[str, Any]:
        """As chat templates and models know it."""
        about = {"description": self.description} if self.description else {}
        return {"name": self.name, **about, "parameters": json.loads(self.parameters)}


class ToolCall(Record):
    """A call of a tool; `arguments` is a JSON object, as text."""

    id: str = ""
    name: str = Field(min_length=1)
    arguments: str = "{}"

    @property
    def spelled(self) -> dict[str, Any]:
        """As chat templates know it."""
        return {"name": self.name, "arguments": json.loads(self.arguments)}


class Message(Record):
    """One turn of a conversation: an assistant's may call tools, a tool's answers such a call."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""

    @property
    def extra(self) -> dict[str, Any]:
        """What else a chat template may want to know of it."""
        calls = [{"id": call.id, "type": "function", "function": call.spelled} for call in self.tool_calls]
        fields = {"tool_calls": calls, "tool_call_id": self.tool_call_id, "name": self.name}
        return {name: value for name, value in fields.items() if value}


class Grammar(Record):
    """What an answer must be, to the letter; `text` is a JSON schema, a JSON list of choices, or in other notation."""

    kind: Literal["json", "regex", "choice", "grammar", "lark"]
    text: str


class SamplingParams(Record):
    """How the next token is chosen and when generation ends."""

    max_tokens: int | None = Field(
        default=None, ge=1, description="tokens to make at most; None: what the context has left"
    )
    min_tokens: int = Field(default=0, ge=0, description="tokens to make before an end-of-text token may end it")
    temperature: float = Field(default=1.0, ge=0, le=2, description="0 is greedy")
    top_p: float = Field(default=1.0, gt=0, le=1, description="smallest set of tokens with this much probability")
    top_k: int = Field(default=0, ge=0, description="the k likeliest tokens only; 0 means all")
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="at least this share of the likeliest token's probability"
    )
    repetition_penalty: float = Field(default=1.0, gt=0, le=10, description="divides the logits of tokens seen so far")
    presence_penalty: float = Field(default=0.0, ge=-2, le=2, description="subtracted once for a token already made")
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2, description="subtracted per time a token was made")
    logit_bias: dict[int, float] = Field(default_factory=dict, description="added to the logits of these token ids")
    seed: int | None = Field(default=None, description="the same seed and request give the same tokens")
    stop: tuple[str, ...] = Field(default=(), max_length=16, description="texts that end it; not part of the answer")
    stop_token_ids: tuple[int, ...] = Field(default=(), description="tokens that end it, besides the model's own")
    ignore_eos: bool = Field(default=False, description="go on after the model's end-of-text token")
    logprobs: int | None = Field(
        default=None, ge=0, le=20, description="log-probabilities of the chosen and n likeliest tokens"
    )
    prompt_logprobs: bool = Field(default=False, description="also of the prompt's tokens (for echo and scoring)")
    grammar: Grammar | None = Field(default=None, description="what the answer must be; only fitting tokens are chosen")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0


class GenerateRequest(Record):
    """One prompt for one model; exactly one of `messages`, `text` and `token_ids` is given."""

    model: str = Field(min_length=1)
    messages: tuple[Message, ...] | None = None
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    sampling: SamplingParams = SamplingParams()
    num_choices: int = Field(default=1, ge=1, le=128, description="independent answers to make")
    tools: tuple[Tool, ...] = Field(default=(), description="what the answer may call; only with `messages`")
    must_call: tuple[str, ...] = Field(default=(), description="the answer calls these tools, and says nothing else")
    parallel_tool_calls: bool = Field(default=True, description="whether it may be several calls")
    priority: int = Field(default=LIVE, ge=LIVE, le=BATCH, description="who is served first: the lower one")
    scope: str = Field(default="", description="only requests of one scope share what was computed of their prompts")


class TokenLogprob(Record):
    """A token, its natural log-probability, and the likeliest alternatives at its place."""

    token_id: int
    token: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()


class GenerateChunk(Record):
    """What one step added to one choice of a request; the last one has a `finish_reason`."""

    request_id: str
    index: int = 0
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = Field(default=0, description="of the prompt, that had been computed for an earlier request")
    error_code: str = ""
    error: str = ""
