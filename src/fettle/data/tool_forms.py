"""How models write calls of tools: what a chat template teaches, or a form of our own; and the grammar of each."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from fettle.types.generation import Grammar, Message, Tool, ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class ToolForm(NamedTuple):
    """A way to write calls; each is a JSON object with the name and the arguments.

    Attributes:
        mark: what chat templates that teach it have in them.
        start: stands before all calls.
        before: stands before each call.
        arguments: the name of the arguments' field.
        after: stands behind each call.
        between: stands between two calls; None where one call is all.
        end: stands behind all calls.
    """

    mark: str
    start: str = ""
    before: str = ""
    arguments: str = "arguments"
    after: str = ""
    between: str | None = None
    end: str = ""


#: Hermes and Qwen; also what models are taught here whose template knows no tools.
TAGGED = ToolForm(OPEN, before=f"{OPEN}\n", after=f"\n{CLOSE}", between="\n")
#: Mistral, without its control token; Llama 3. The first one whose mark is found is taken.
FORMS = (
    TAGGED,
    ToolForm("[TOOL_CALLS]", start="[", between=", ", end="]"),
    ToolForm('"parameters"', arguments="parameters"),
)

_ASKED = f"""You may call these tools, each described by a line of JSON:
{{tools}}

To call one, answer with its name and its arguments, between these marks, and nothing else:
{OPEN}
{{{{"name": "...", "arguments": {{{{...}}}}}}}}
{CLOSE}"""


def form_of(chat_template: str) -> ToolForm:
    """The form that a chat template teaches."""
    return next((form for form in FORMS if form.mark in chat_template), TAGGED)


def call_grammar(form: ToolForm, tools: Sequence[Tool], *, most: int | None) -> Grammar:
    """What an answer is that only calls these tools.

    Args:
        form: in which the calls are.
        tools: any of them.
        most: 1 for a single call, else None.
    """
    more = f" ({_text(form.between)} call)*" if form.between is not None and most != 1 else ""
    choices = " | ".join(f"call_{place}" for place in range(len(tools)))
    lines = [
        f"start: {_text(form.start)} call{more} {_text(form.end)}",
        f"call: {_text(form.before)} ({choices}) {_text(form.after)}",
    ]
    for place, tool in enumerate(tools):
        head = f'{{"name": {json.dumps(tool.name)}, "{form.arguments}": '
        lines += [f'call_{place}: {_text(head)} arguments_{place} "}}"', f"arguments_{place}: %json {_schema(tool)}"]
    return Grammar(kind="lark", text="\n".join(lines))


def in_plain_words(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """A conversation for a chat template that knows no tools: they are described in the system's turn.

    Calls are part of the assistant's text, and what tools answer is said by the user.
    """
    plain: list[Message] = []
    for place, message in enumerate(messages):
        said = _plain(message)
        if message.role == "tool" and place and messages[place - 1].role == "tool":
            # Most templates want the sides to take turns.
            said = Message(role="user", content=f"{plain.pop().content}\n{said.content}")
        plain.append(said)
    if not tools:
        return plain
    asked = _ASKED.format(tools="\n".join(json.dumps(tool.spelled, ensure_ascii=False) for tool in tools))
    if plain[0].role != "system":
        return [Message(role="system", content=asked), *plain]
    return [Message(role="system", content=f"{plain[0].content}\n\n{asked}"), *plain[1:]]


def _plain(message: Message) -> Message:
    if message.role == "tool":
        return Message(role="user", content=f"<tool_response>\n{message.content}\n</tool_response>")
    texts = [message.content] if message.content else []
    return Message(role=message.role, content="\n".join([*texts, *map(_written, message.tool_calls)]))


def _written(call: ToolCall) -> str:
    return TAGGED.before + json.dumps(call.spelled, ensure_ascii=False) + TAGGED.after


def _schema(tool: Tool) -> str:
    """Of the arguments, in one line; without blanks between its parts, as calls are for machines."""
    about = {"type": "object"} | tool.spelled["parameters"]
    return json.dumps(
        about | {"x-guidance": {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}}
    )


def _text(text: str) -> str:
    return json.dumps(text)
