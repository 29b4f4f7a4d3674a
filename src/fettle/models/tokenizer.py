"""A model folder's tokenizer: text to token ids and back, and its chat template."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Self

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer as Backend

from fettle.errors import InvalidInput, UnsupportedModel
from fettle.models.weights import read_json


class Tokenizer:
    """What `tokenizer.json` and `tokenizer_config.json` describe."""

    def __init__(self, backend: Backend, settings: Mapping[str, Any], eos_ids: Sequence[int] = ()) -> None:
        self._backend, self._settings = backend, settings
        self._plain = Backend.from_str(backend.to_str())
        self._plain.encode_special_tokens = True
        own = self._id_of("eos_token")
        self.eos_ids: tuple[int, ...] = tuple(dict.fromkeys([*([own] if own is not None else []), *eos_ids]))
        self.special_ids = frozenset(i for i, token in backend.get_added_tokens_decoder().items() if token.special)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The tokenizer of a model folder.

        Raises:
            UnsupportedModel: its files are absent or damaged.
        """
        path = folder / "tokenizer.json"
        if not path.exists():
            raise UnsupportedModel(f"{path} does not exist", hint="Only fast tokenizers (tokenizer.json) are read.")
        try:
            backend = Backend.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise UnsupportedModel(f"{path} cannot be read: {error}") from error
        return cls(backend, _settings(folder), _eos_of(folder))

    @property
    def vocab_size(self) -> int:
        """Tokens, added ones included."""
        return int(self._backend.get_vocab_size())

    @property
    def has_template(self) -> bool:
        """Whether conversations can be rendered."""
        return bool(self._settings.get("chat_template"))

    @cached_property
    def special_texts(self) -> tuple[str, ...]:
        """The texts that stand for control tokens."""
        decoder = self._backend.get_added_tokens_decoder()
        return tuple(decoder[i].content for i in sorted(self.special_ids))

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Token ids; control tokens in the text are understood. With `add_special_tokens`, the model's own start too."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def encode_plain(self, text: str) -> list[int]:
        """Token ids of text in which control tokens are only letters."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of these tokens."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def token_text(self, token_id: int) -> str:
        """The text of one token, control tokens included; incomplete bytes show as U+FFFD."""
        return self.decode([token_id], skip_special_tokens=False)

    def render(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool) -> str:
        """The conversation as one text.

        Raises:
            InvalidInput: the template refuses these messages.
        """
        names = {key: self._text_of(key) for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
        values = {key: text for key, text in names.items() if text is not None}
        try:
            return self._template.render(messages=messages, add_generation_prompt=add_generation_prompt, **values)
        except TemplateError as error:
            raise InvalidInput(f"the model's chat template refuses the messages: {error}", param="messages") from error

    @cached_property
    def _template(self) -> Any:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        try:
            return environment.from_string(_default(self._settings["chat_template"]))
        except TemplateError as error:
            raise UnsupportedModel(f"the model's chat template cannot be read: {error}") from error

    def _text_of(self, key: str) -> str | None:
        value = self._settings.get(key)
        return value["content"] if isinstance(value, dict) else value

    def _id_of(self, key: str) -> int | None:
        text = self._text_of(key)
        found: int | None = self._backend.token_to_id(text) if text else None
        return found


def _settings(folder: Path) -> dict[str, Any]:
    path, template = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    settings = read_json(path) if path.exists() else {}
    return settings | ({"chat_template": template.read_text(encoding="utf-8")} if template.exists() else {})


def _eos_of(folder: Path) -> list[int]:
    """End tokens that the model's own files name; generation_config.json has the last word in `transformers`."""
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        value = read_json(folder / name).get("eos_token_id") if (folder / name).exists() else None
        found += value if isinstance(value, list) else [] if value is None else [value]
    return found


def _default(template: str | list[dict[str, str]]) -> str:
    if isinstance(template, str):
        return template
    return next((entry["template"] for entry in template if entry["name"] == "default"), template[0]["template"])


def _to_json(value: Any, indent: int | None = None) -> str:
    # Jinja's own filter escapes HTML, which `transformers` does not.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
