"""Chat templates: a model's own Jinja program that writes messages as text, run in a sandbox."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fettle.errors import InvalidInput, UnsupportedModel


def render_chat(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    special_tokens: Mapping[str, str],
    tools: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The text that `template` makes of `messages`; equal to what `transformers` renders.

    Args:
        template: Jinja source; it is not trusted.
        messages: plain dictionaries with "role" and "content".
        add_generation_prompt: whether the text ends where the assistant begins to speak.
        special_tokens: by name, e.g. {"bos_token": "<s>"}.
        tools: what may be called, as the API has it: {"type": "function", "function": {...}}.

    Raises:
        InvalidInput: the template refuses these messages (it says why).
        UnsupportedModel: the template itself is broken.
    """
    program = compile_template(template)
    try:
        return program.render(
            messages=[dict(message) for message in messages],
            tools=list(tools) or None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **special_tokens,
        )
    except jinja2.TemplateError as error:
        raise InvalidInput(f"the model's chat template refuses these messages: {error}", param="messages") from error
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise UnsupportedModel(f"the model's chat template failed: {error}") from error


@lru_cache(maxsize=32)
def compile_template(source: str) -> jinja2.Template:
    """The program of a chat template.

    Raises:
        UnsupportedModel: it is not valid Jinja.
    """
    try:
        return _environment().from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise UnsupportedModel(
            f"the model's chat template is not valid (line {error.lineno}): {error.message}"
        ) from error


def knows_tools(source: str) -> bool:
    """Whether a chat template looks at the variable `tools`."""
    names = _environment().parse(source).find_all(jinja2.nodes.Name)
    return any(name.name == "tools" and name.ctx == "load" for name in names)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlocks, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals.update(
        raise_exception=_raise_exception, strftime_now=_strftime_now, dict=_SafeDict(), namespace=_SafeNamespace
    )
    return environment


class _GenerationBlocks(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}` marks what the assistant says; its text passes unchanged."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """Read one block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller: Callable[[], str]) -> str:
        return caller()


class _SafeDict:
    """`dict(...)` for templates, without the class and its attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)


class _SafeNamespace(jinja2.utils.Namespace):
    """`namespace(...)` for templates; names that begin with an underscore are refused, they lead out of the sandbox."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _check_name(name)
        jinja2.utils.Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a chat template may not set {name!r}")


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)  # local time, as `transformers` does it


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is; Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
