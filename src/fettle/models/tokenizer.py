"""A model folder's tokenizer: text to token ids and back, its control tokens and its chat template."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from tokenizers import Tokenizer as Backend

from fettle.errors import UnsupportedModel
from fettle.models.chat_template import compile_template, render_chat

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
#: Written before text that continues other text, and taken off again; see `Tokenizer.encode_after`.
ANCHOR = "\n"


class Tokenizer:
    """What `tokenizer.json`, `tokenizer_config.json` and the files beside them describe.

    Attributes:
        chat_template: Jinja source, or None.
        vocab_size: number of ids, the added ones included.
        special_tokens: the control tokens' texts and ids; `encode` makes one token of such a text.
        special_ids: their ids.
        eos_id: id of the token that ends a text, or None.
        eos_ids: ids that end an answer, `eos_id` first.
        bos_id: id of the token that begins a text, or None.
        pad_id: id of the padding token, or None.
        start_ids: what a bare text begins with, mostly (bos_id,) or nothing.
    """

    def __init__(self, backend: Backend, settings: Mapping[str, Any], eos_ids: Sequence[int] = ()) -> None:
        """A tokenizer with the settings of tokenizer_config.json; `eos_ids` also end an answer."""
        self._backend: Any = backend
        self._backend.no_truncation()
        self._backend.no_padding()
        self._names = _named_tokens(settings)
        self.chat_template = _default_template(settings.get("chat_template"))
        self.vocab_size = int(self._backend.get_vocab_size())
        self.eos_id, self.bos_id, self.pad_id = map(self._id_of, ("eos_token", "bos_token", "pad_token"))
        self.eos_ids = tuple(dict.fromkeys([*([] if self.eos_id is None else [self.eos_id]), *eos_ids]))
        added = self._backend.get_added_tokens_decoder()
        control = {number: token.content for number, token in added.items() if token.special or number == self.eos_id}
        self.special_tokens: dict[str, int] = {text: number for number, text in sorted(control.items())}
        self.special_ids = frozenset(control)
        self.start_ids = self._find_start_ids()
        self._anchor_ids = self.encode(ANCHOR)
        # Whether the same word has other ids at the beginning of a text than after a line break.
        self._needs_anchor = self._without_anchor(f"{ANCHOR}a") not in (None, self.encode("a"))
        self.token_text = lru_cache(maxsize=4096)(self._token_text)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The tokenizer of a model folder.

        Raises:
            UnsupportedModel: its files are absent or damaged.
        """
        settings = _settings(folder)
        loaded = cls(_backend(folder), settings, _eos_of(folder))
        if loaded.chat_template is not None:
            compile_template(loaded.chat_template)
        return loaded

    @property
    def has_template(self) -> bool:
        """Whether conversations can be rendered."""
        return self.chat_template is not None

    @property
    def special_texts(self) -> tuple[str, ...]:
        """The texts that stand for control tokens."""
        return tuple(self.special_tokens)

    @property
    def source(self) -> str:
        """tokenizer.json, for other libraries that read it."""
        return str(self._backend.to_str())

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Token ids; control tokens in the text are understood. `add_special_tokens` adds the model's own start."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def encode_after(self, text: str) -> list[int]:
        """Token ids of a text that continues other text.

        Other than with `encode`, a tokenizer that marks the beginning of a text with a space does not do so here.
        """
        if not self._needs_anchor or not text:
            return self.encode(text)
        ids = self._without_anchor(ANCHOR + text)
        return self.encode(text) if ids is None else ids

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of these tokens; bytes that are not (yet) UTF-8 become U+FFFD."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def token_id(self, token: str) -> int | None:
        """The id of an entry of the vocabulary."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The conversation as one text; `tools` are for templates that know them.

        Raises:
            InvalidInput: the template refuses these messages.
            UnsupportedModel: there is no template, or it is broken.
        """
        if self.chat_template is None:
            raise UnsupportedModel("this model has no chat template", hint="Send it a prompt instead of messages.")
        return render_chat(
            self.chat_template,
            messages,
            add_generation_prompt=add_generation_prompt,
            special_tokens=self._names,
            tools=tools,
        )

    def _token_text(self, token_id: int) -> str:
        """The text of one token, control tokens included; incomplete bytes show as U+FFFD."""
        return self.decode([token_id], skip_special_tokens=False)

    def _id_of(self, name: str) -> int | None:
        return self.token_id(self._names[name]) if name in self._names else None

    def _find_start_ids(self) -> tuple[int, ...]:
        """What the tokenizer itself puts before a text."""
        bare, full = self.encode("a"), self.encode("a", add_special_tokens=True)
        starts = (start for start in range(len(full)) if full[start : start + len(bare)] == bare)
        return tuple(full[: next(starts, 0)])

    def _without_anchor(self, text: str) -> list[int] | None:
        ids, size = self.encode(text), len(self._anchor_ids)
        return ids[size:] if ids[:size] == self._anchor_ids else None


def _backend(folder: Path) -> Backend:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UnsupportedModel(
            f"{path} does not exist",
            hint="Only fast tokenizers are read: save_pretrained() of `transformers` writes one.",
        )
    try:
        return Backend.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare Exceptions
        raise UnsupportedModel(f"{path} cannot be read: {error}") from error


def _settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json, with what newer and older layouts keep in files of their own."""
    settings = _read_json(folder / "special_tokens_map.json") | _read_json(folder / "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    if file.is_file():
        return settings | {"chat_template": file.read_text(encoding="utf-8")}
    return _read_json(folder / "chat_template.json") | settings


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; an absent file is an empty one. (`models.weights` has its like, but brings torch.)"""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise UnsupportedModel(f"{path} should hold a JSON object")
    return value


def _named_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the named tokens, which are written as strings or as objects."""
    found = {name: settings.get(name) for name in NAMED_TOKENS}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _default_template(found: Any) -> str | None:
    """The chat template, or of several with names the default one."""
    if isinstance(found, list):
        by_name = {entry["name"]: entry["template"] for entry in found}
        found = by_name.get("default", next(iter(by_name.values()), None))
    return str(found) if found else None


def _eos_of(folder: Path) -> list[int]:
    """End tokens that the model's own files name."""
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        value = _read_json(folder / name).get("eos_token_id")
        found += value if isinstance(value, list) else [] if value is None else [value]
    return found
