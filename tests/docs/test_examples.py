"""What the documents show exists: commands, options, names in Python, requests, tests, links."""

import ast
import inspect
import json
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import fettle
from fettle.adapters.methods import METHODS
from fettle.api.openai.shapes import ChatRequest, parsed
from fettle.cli.main import COMMANDS, load_command
from fettle.types.generation import SamplingParams
from fettle.types.tuning import TuningSpec

ROOT = Path(__file__).parents[2]
HIDDEN = {".venv", ".envs", ".git", ".pytest_cache", "node_modules"}
PAGES = sorted(page for page in ROOT.rglob("*.md") if not HIDDEN & set(page.relative_to(ROOT).parts))
README = (ROOT / "README.md").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The shell commands of a page's examples, in words, without comments."""
    lines = [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def fettle_commands() -> list[list[str]]:
    return [words for words in commands(README) if words[0] == "fettle"]


def calls(code: str) -> list[tuple[str, ast.Call]]:
    """Every call in a piece of Python, by the dotted name of what is called."""
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in found]


def keywords(call: ast.Call) -> dict[str, object]:
    values = {}
    for keyword in call.keywords:
        try:
            values[keyword.arg] = ast.literal_eval(keyword.value)
        except ValueError:
            values[keyword.arg] = None
    return values


def python_example(word: str) -> str:
    (code,) = [block for block in blocks(README, "python") if word in block]
    return code


def messages_of(code: str) -> list[dict[str, str]]:
    """The list of messages that an example builds."""
    lists = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.List)]
    (messages,) = [ast.literal_eval(node) for node in lists if node.elts and isinstance(node.elts[0], ast.Dict)]
    return messages


def anchors(page: Path) -> set[str]:
    """What a link can point to inside a page, as GitHub names its headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_make_command_is_in_the_makefile(page):
    text = page.read_text()
    shown = re.findall(r"`make ([a-z0-9-]+)", text) + [words[1] for words in commands(text) if words[0] == "make"]
    assert set(shown) <= TARGETS


@pytest.mark.parametrize("words", fettle_commands(), ids=" ".join)
def test_every_fettle_command_of_the_readme_exists_with_its_options(words):
    assert words[1] in COMMANDS
    command, rest = load_command(words[1]), words[2:]
    while children := getattr(command, "commands", None):
        command, rest = children[rest[0]], rest[1:]
    command.make_context(words[1], [*rest])


def test_the_examples_of_the_readme_are_there():
    assert {"tune", "eval", "data", "chat", "models"} <= {words[1] for words in fettle_commands()}
    assert {"run", "test"} <= {words[1] for words in commands(README) if words[0] == "make"}


def test_the_python_example_uses_names_that_exist():
    found = calls(python_example("import fettle"))
    own = {name.removeprefix("fettle.") for name, _ in found if name.startswith("fettle.")}
    methods = {name.partition(".")[2] for name, _ in found if name.startswith(("model.", "base."))}
    assert own == {"tune", "load"}
    assert own <= set(fettle.__all__)
    assert methods == {"generate", "stream"}
    assert all(callable(getattr(import_module("fettle.library").Model, name)) for name in methods)


def test_the_python_example_gives_arguments_that_are_accepted():
    found = dict(calls(python_example("import fettle")))
    named_ones = keywords(found["fettle.tune"])
    inspect.signature(fettle.tune).bind("train.jsonl", **named_ones)
    settings = {name: named_ones[name] for name in named_ones.keys() - {"name", "method"}}
    spec = TuningSpec.from_settings(settings, base="pocket", method=named_ones["method"], name=named_ones["name"])
    METHODS[spec.method].adapter_config(spec.adapter)
    for name in ("model.generate", "base.stream"):
        SamplingParams.checked(keywords(found[name]))


def test_the_openai_example_sends_a_request_that_is_accepted():
    code = python_example("from openai import OpenAI")
    asked = keywords(dict(calls(code))["client.chat.completions.create"])
    body = asked | {"model": "pocket", "messages": messages_of(code)}
    assert parsed(ChatRequest, json.dumps(body).encode()).generate_request().sampling.is_greedy


def test_the_curl_example_sends_a_request_that_is_accepted():
    (words,) = [words for words in commands(README) if words[0] == "curl"]
    assert words[1].endswith("/v1/chat/completions")
    assert "Authorization: Bearer $FETTLE_API_KEY" in words
    asked = parsed(ChatRequest, words[words.index("-d") + 1].encode()).generate_request()
    assert asked.model == "tickets-lora"


def test_the_models_of_the_examples_are_those_that_the_quickstart_makes():
    epochs = import_module("fettle.cli.quickstart.steps").EPOCHS
    shown = set(re.findall(r"tickets-[a-z]+", README))
    assert shown == {f"tickets-{method}" for method in epochs}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        is_outside = "://" in target
        if not is_outside and (not place.exists() or (anchor and anchor not in anchors(place))):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_module_that_a_page_names_exists(page):
    roots = (ROOT, ROOT / "src" / "fettle")
    shown = set(re.findall(r"`([a-z0-9_/.]+\.(?:py|toml))`", (ROOT / page).read_text()))
    assert shown
    assert sorted(path for path in shown if not any((root / path).exists() for root in roots)) == []


def test_every_test_that_the_architecture_names_exists():
    shown = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert len(shown) > 20
    assert [name for path, name in shown if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_every_module_says_what_it_is_in_its_first_line():
    modules = (ROOT / "src" / "fettle").rglob("*.py")
    first = {named(path): (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0] for path in modules}
    assert [path for path, line in first.items() if not line.endswith(".")] == []


def test_the_changelog_tells_of_the_present_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert fettle.__version__ == version
