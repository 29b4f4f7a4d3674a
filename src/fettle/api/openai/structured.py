"""The fields that say what an answer must be: OpenAI's `response_format`, and what vLLM's clients send."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fettle.types.generation import Grammar
from fettle.types.record import Record

ANY_OBJECT = {"type": "object"}


def _is_schema(value: dict[str, Any] | str) -> dict[str, Any] | str:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("a JSON schema is an object")
    return value


JsonSchema = Annotated[dict[str, Any] | str, AfterValidator(_is_schema)]
Choices = Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
Notation = Annotated[str, Field(min_length=1)]


class NamedSchema(Record):
    """A JSON schema as `response_format` has it; it is always enforced, `strict` or not."""

    name: str = Field(min_length=1)
    content: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Record):
    """What kind of text the answer is."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _only_schemas_have_one(self) -> Self:
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise ValueError("'json_schema' belongs to the type 'json_schema', and is needed there")
        return self

    @property
    def grammar(self) -> Grammar | None:
        """What the answer must be."""
        if self.type == "text":
            return None
        return json_grammar(self.json_schema.content if self.json_schema else ANY_OBJECT)


class StructuredOutputs(Record):
    """What the answer must be, as vLLM's clients say it today."""

    schema_: JsonSchema | None = Field(default=None, alias="json")
    json_object: bool | None = None
    regex: Notation | None = None
    choice: Choices | None = None
    grammar: Notation | None = None


class Structured(Record):
    """The fields for it in a request; one of them at most."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    # The same as vLLM had it before version 0.12.
    guided_json: JsonSchema | None = None
    guided_regex: Notation | None = None
    guided_choice: Choices | None = None
    guided_grammar: Notation | None = None

    @property
    def grammars(self) -> dict[str, Grammar]:
        """What the answer must be, by the field that says it."""
        asked = self.structured_outputs or StructuredOutputs()
        schemas = {
            "structured_outputs.json": asked.schema_,
            "structured_outputs.json_object": ANY_OBJECT if asked.json_object else None,
            "guided_json": self.guided_json,
        }
        others: list[tuple[str, Literal["regex", "choice", "grammar"], str | None]] = [
            ("structured_outputs.regex", "regex", asked.regex),
            ("structured_outputs.choice", "choice", _list(asked.choice)),
            ("structured_outputs.grammar", "grammar", asked.grammar),
            ("guided_regex", "regex", self.guided_regex),
            ("guided_choice", "choice", _list(self.guided_choice)),
            ("guided_grammar", "grammar", self.guided_grammar),
        ]
        first = self.response_format.grammar if self.response_format else None
        found = {"response_format": first} if first else {}
        found |= {field: json_grammar(schema) for field, schema in schemas.items() if schema is not None}
        return found | {field: Grammar(kind=kind, text=text) for field, kind, text in others if text is not None}

    @property
    def grammar(self) -> Grammar | None:
        """What the answer must be, if anything."""
        return next(iter(self.grammars.values()), None)

    @model_validator(mode="after")
    def _one_at_most(self) -> Self:
        if len(found := list(self.grammars)) > 1:
            raise ValueError(f"{', '.join(found)} are given: an answer can be held to one of them only")
        return self


def json_grammar(schema: dict[str, Any] | str) -> Grammar:
    """The grammar of a JSON schema."""
    # A text is written anew: the same schema is compiled once, however it is spelled.
    return Grammar(kind="json", text=json.dumps(json.loads(schema) if isinstance(schema, str) else schema))


def _list(choices: tuple[str, ...] | None) -> str | None:
    return None if choices is None else json.dumps(choices)
