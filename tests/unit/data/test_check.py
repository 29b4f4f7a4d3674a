"""What a check finds in a file: counts, lengths, copies, contradictions, leaks, and everything that is bad."""

import gzip
import json
import tracemalloc
from statistics import mean, median_low

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fettle.data.check import check_file, raise_if_bad
from fettle.data.examples import load_examples
from fettle.data.lengths import Lengths
from fettle.data.template import Template
from fettle.errors import InvalidInput, InvalidRows
from fettle.types.data import CheckPlan, DataReport
from fettle.workers.check import run


def pair(prompt: str, completion: str = "c", **more: object) -> dict[str, object]:
    return {"prompt": prompt, "completion": completion, **more}


def chat(prompt: str, answer: str = "c") -> dict[str, object]:
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


def note(report: DataReport, word: str) -> str:
    (found,) = (notice for notice in report.notices if word in notice)
    return found


def test_a_good_file_is_counted_and_measured(write, template):
    path = write(*(pair(f"question {number}" * (number + 1), "yes") for number in range(60)))
    report = check_file(path, template, context=4096)
    encoded = [template.encode(example) for example in load_examples(path)]
    lengths = [len(row.token_ids) for row in encoded]
    assert (report.rows, report.examples, report.bad_rows, report.formats) == (60, 60, 0, {"prompt": 60})
    assert report.tokens is not None
    assert (report.tokens.shortest, report.tokens.longest) == (min(lengths), max(lengths))
    assert (report.tokens.median, report.tokens.mean) == (median_low(lengths), pytest.approx(mean(lengths)))
    assert (report.tokens.total, report.tokens.learned) == (sum(lengths), 60 * len("yes."))
    assert report.is_good
    assert not report.notices
    raise_if_bad(report)


def test_without_tokenizer_no_tokens_are_counted(write):
    report = check_file(write(pair("a")))
    assert report.tokens is None
    assert report.is_good


def test_every_bad_row_is_named_and_the_file_refused(write):
    path = write(pair("a"), {"prompt": "b"}, b"{", pair("d"), pair("", ""))
    report = check_file(path)
    assert (report.rows, report.examples, report.bad_rows, report.num_faults) == (5, 2, 3, 4)
    assert [fault.partition(":")[0] for fault in report.faults] == ["line 2", "line 3", "line 5", "line 5"]
    assert not report.is_good
    with pytest.raises(InvalidRows, match="3 of 5 rows"):
        raise_if_bad(report)


def test_faults_of_the_training_and_the_validation_file_are_told_together(write):
    train, validation = write(pair("a"), {"prompt": "b"}), write({"completion": "c"}, name="held.jsonl")
    report = check_file(train, validation_path=validation)
    with pytest.raises(InvalidRows) as caught:
        raise_if_bad(report)
    assert "1 of 2 rows in" in caught.value.message
    assert "1 of 1 row in" in caught.value.message


def test_copies_are_found_with_the_line_they_copy(write):
    report = check_file(write(pair("a"), pair("b"), pair("a"), b"", chat("b"), pair("a", id=7), pair("a", "d")))
    assert (report.duplicates.count, report.duplicates.lines, report.originals) == (3, (3, 5, 6), (1, 2, 1))
    assert "line 3 as 1" in note(report, "said before")


def test_prompts_with_several_answers_are_noticed_and_copies_are_no_contradiction(write):
    report = check_file(write(pair("a", "x"), pair("a", "y"), pair("b"), pair("b"), pair("c")))
    assert (report.conflicts.count, report.conflicts.lines) == (2, (1, 2))


def test_what_is_in_both_files_is_a_leak_even_with_another_answer(write):
    train, validation = write(pair("a"), pair("b")), write(pair("x"), pair("b", "other"), name="held.jsonl")
    report = check_file(train, validation_path=validation)
    assert (report.leaked.count, report.leaked.lines) == (1, (2,))
    assert "better than it is" in note(report, "validation row")
    assert report.validation is not None
    assert report.validation.rows == 2
    assert report.is_good


def test_rows_over_the_context_are_named_and_do_not_make_the_file_bad(write, template):
    report = check_file(write(pair("a"), pair("a" * 100), pair("b" * 100)), template, context=50)
    assert (report.too_long.count, report.too_long.lines) == (2, (2, 3))
    assert report.is_good
    assert "leaves them out" in note(report, "over the context")


def test_a_file_of_which_nothing_fits_is_refused(write, template):
    report = check_file(write(pair("a" * 100)), template, context=50)
    assert not report.is_good
    with pytest.raises(InvalidInput, match=r"no row of .* fits the context of 50 tokens"):
        raise_if_bad(report)


def test_rows_that_the_base_model_cannot_read_are_bad(write, plain_tokenizer):
    report = check_file(write(pair("a"), chat("b")), Template(plain_tokenizer), context=50)
    assert report.bad_rows == 1
    assert report.faults[0].startswith("line 2: `messages` need")


def test_few_examples_and_ignored_fields_and_both_forms_are_noticed(write):
    report = check_file(write(pair("a", intent="x"), pair("b", intent="y"), chat("c")))
    assert "50 to 100" in note(report, "3 examples")
    assert "`intent` (2)" in note(report, "ignores")
    assert "1 of chat and 2 of prompt" in note(report, "both forms")
    assert report.prompt_format == "prompt"
    assert check_file(write(chat("c"))).prompt_format == "chat"


def test_the_hash_is_of_what_is_learned_and_not_of_how_it_is_written(write):
    plain = write(pair("a"), pair("b"))
    packed = plain.with_name("packed")
    lines = b'\n{"completion":"c",  "prompt":"\\u0061", "id": 4}\r\n{"prompt": "b", "completion": "c"}'
    packed.write_bytes(gzip.compress(lines))
    assert check_file(plain).content_hash == check_file(packed).content_hash


def test_the_hash_is_another_for_other_rows_or_another_order(write):
    files = [[pair("a"), pair("b")], [pair("b"), pair("a")], [pair("a")], [pair("a"), pair("b", "d")], [pair("ab")]]
    hashes = [check_file(write(*rows)).content_hash for rows in files]
    assert len(set(hashes)) == len(files)


@settings(max_examples=30)
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), min_size=1, max_size=12))
def test_copies_and_contradictions_are_what_a_plain_loop_finds(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows"
    path.write_text("".join(json.dumps(pair(*row)) + "\n" for row in rows))
    again = [line for line, row in enumerate(rows, start=1) if row in rows[: line - 1]]
    firsts = [line for line, row in enumerate(rows, start=1) if line not in again]
    clashing = [line for line in firsts if any(p == rows[line - 1][0] and c != rows[line - 1][1] for p, c in rows)]
    report = check_file(path)
    assert report.duplicates.lines == tuple(again)
    assert report.originals == tuple(rows.index(rows[line - 1]) + 1 for line in again)
    assert report.conflicts.lines == tuple(clashing)


@given(st.lists(st.integers(1, 60), min_size=1))
def test_percentiles_are_the_smallest_that_cover_their_share(values):
    lengths = Lengths()
    for value in values:
        lengths.add(value, 1)
    found = lengths.summary()
    assert found is not None
    for percentile, share in ((found.median, 50), (found.p95, 95)):
        assert sum(value <= percentile for value in values) * 100 >= len(values) * share
        assert sum(value < percentile for value in values) * 100 < len(values) * share


def test_memory_hardly_grows_with_the_file(tmp_path):
    path = tmp_path / "rows"
    path.write_text("".join(json.dumps(pair("a" * 1500, str(number))) + "\n" for number in range(10_000)))  # 15 MB
    tracemalloc.start()
    try:
        check_file(path)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_the_worker_checks_as_the_base_model_reads(write, tmp_path):
    from fettle.testing.tokenizers import tiny_tokenizer

    plan = CheckPlan(path=str(write(pair("a"))), base_path=str(tiny_tokenizer(tmp_path / "base")), context=50)
    report = run(plan)
    assert report.tokens is not None
    assert (report.tokens.total, report.context) == (6, 50)
