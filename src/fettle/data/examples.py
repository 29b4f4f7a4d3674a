"""From a row to an example, turns of which the assistant's are learned; or to all that is wrong with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from fettle.data.choices import Said, multiple_choice, openai_preference, preference
from fettle.data.faults import Faults
from fettle.data.files import Fault, scan_rows
from fettle.data.messages import Row, Turn, conversation, json_name, names_of, text_faults
from fettle.types.resources import PromptFormat

PAIR = ("prompt", "completion")
#: Fields that change what a row means: to ignore one would teach something else than the row says.
NOT_SUPPORTED = ("tools", "functions")


@dataclass(frozen=True, slots=True)
class Example:
    """A row that can be learned from; a prompt with its completion is a conversation of two turns.

    `ignored` are the names of the row's fields that nothing takes notice of; `wrong` are answers that are not right
    (of a multiple choice) or not preferred, in place of the last turn.
    """

    line: int
    prompt_format: PromptFormat
    turns: tuple[Turn, ...]
    ignored: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """What comes before the last answer."""
        return self.turns[:-1]

    @property
    def answer(self) -> str:
        """The last answer, which is the right one."""
        return self.turns[-1].content

    @property
    def answers(self) -> tuple[str, ...]:
        """The right answer, and then the others."""
        return (self.answer, *self.wrong)

    def answered(self, text: str) -> "Example":
        """The same with another last answer."""
        return replace(self, turns=(*self.prompt, replace(self.turns[-1], content=text)))


def read_examples(path: Path) -> Iterator[Example | list[Fault]]:
    """Every row of a file, as an example or as all that is wrong with it.

    Raises:
        FettleError: the file itself cannot be read; see `scan_rows`.
    """
    for found in scan_rows(path):
        yield [found] if isinstance(found, Fault) else parse(found.line, found.value)


def load_examples(path: Path) -> Iterator[Example]:
    """Every example of a file.

    Raises:
        InvalidRows: after the last row, if any row cannot be used.
        FettleError: the file itself cannot be read; see `scan_rows`.
    """
    faults = Faults()
    num_rows = 0
    for found in read_examples(path):
        num_rows += 1
        if isinstance(found, Example):
            yield found
        else:
            faults.add(found)
    faults.refuse(path, num_rows)


def refuse(path: Path, faults: list[Fault], num_rows: int, num_bad: int | None = None) -> None:
    """Raise if there are faults.

    Raises:
        InvalidRows: there are.
    """
    by_line: dict[int, list[Fault]] = {}
    for fault in faults:
        by_line.setdefault(fault.line, []).append(fault)
    kept = Faults()
    for found in by_line.values():
        kept.add(found)
    kept.num_rows = num_bad or kept.num_rows
    kept.refuse(path, num_rows)


def parse(line: int, row: object) -> Example | list[Fault]:
    """One row to an example, or everything that is wrong with it.

    Fields that are not known are ignored, except those in NOT_SUPPORTED and those inside of messages.
    """
    found = _parsed(line, row)
    return found if isinstance(found, Example) else [Fault(line, text) for text in found]


class Form(NamedTuple):
    """A way to write a row: the fields that it is known by, all that it may have, and how they are read.

    One that gives way is not meant by a row of another form: its fields are common names for notes.
    """

    marks: tuple[str, ...]
    fields: tuple[str, ...]
    read: Callable[[Row], Said | list[str]]
    gives_way: bool = False

    def found_in(self, row: Row) -> tuple[str, ...]:
        """The marks that a row has; a field that is null is as good as absent."""
        return tuple(mark for mark in self.marks if row.get(mark) is not None)


def _pair(row: Row) -> Said | list[str]:
    faults = [fault for name in PAIR for fault in text_faults(name, row)]
    return faults or Said((Turn("user", row["prompt"]), Turn("assistant", row["completion"], is_learned=True)))


def _chat(row: Row) -> Said | list[str]:
    turns = conversation(row["messages"])
    return turns if isinstance(turns, list) else Said(turns, is_chat=True)


def _labelled(row: Row) -> Said | list[str]:
    """A text, and its label as the answer; a label that is a whole number is the text of its digits."""
    label = row.get("label")
    is_number = isinstance(label, int) and not isinstance(label, bool)
    faults = text_faults("text", row)
    if "label" in row and not is_number and not isinstance(label, str):
        faults.append(f"`label` is a JSON {json_name(label)}; expected a text, or a whole number, which is read as one")
    elif not is_number:
        faults += text_faults("label", row)
    return faults or Said((Turn("user", row["text"]), Turn("assistant", str(label).strip(), is_learned=True)))


_LABELLED = ("text", "label")
_OPENAI = ("input", "preferred_output", "non_preferred_output")
FORMS = (
    Form(("messages",), ("messages",), _chat),
    Form(PAIR, PAIR, _pair),
    Form(("choices",), ("prompt", "messages", "choices", "answer"), multiple_choice),
    Form(("chosen", "rejected"), ("prompt", "chosen", "rejected"), preference),
    Form(_OPENAI[1:], _OPENAI, openai_preference),
    Form(_LABELLED, _LABELLED, _labelled, gives_way=True),
)
EXPECTED = (
    "`messages`, `prompt` and `completion`, `prompt` and `choices` and `answer`, "
    "`prompt` and `chosen` and `rejected`, or `text` and `label`"
)


def _parsed(line: int, row: object) -> Example | list[str]:
    if not isinstance(row, dict):
        return [f"is a JSON {json_name(row)}; expected an object"]
    faults = [f"`{name}` is not supported here; remove it" for name in NOT_SUPPORTED if row.get(name) is not None]
    forms = _forms(row)
    if not forms:
        return [*faults, f"has {names_of(row)}; expected {EXPECTED}"]
    if len(forms) > 1:
        both = " beside ".join(f"`{form.found_in(row)[-1]}`" for form in forms[:2])
        return [*faults, f"has {both}; keep one of the two forms"]
    said = forms[0].read(row)
    if isinstance(said, list):
        return faults + said
    ignored = tuple(name for name in row if name not in forms[0].fields)
    return faults or Example(line, "chat" if said.is_chat else "prompt", said.turns, ignored, said.wrong)


def _forms(row: Row) -> list[Form]:
    """The forms that a row may be in; one whose marks all belong to another as well is not meant."""
    found = [form for form in FORMS if form.found_in(row)]
    if not found:
        return [form for form in FORMS if not row.keys().isdisjoint(form.marks)][:1]
    found = [form for form in found if not form.gives_way] or found
    return [
        form
        for form in found
        if not any(other is not form and set(form.found_in(row)) <= set(other.fields) for other in found)
    ]
