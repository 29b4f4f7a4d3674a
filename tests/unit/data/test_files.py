"""Reading rows: what is accepted, and what is said of the rest."""

import gzip
import json
import os
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fettle.data.files import Fault, read_rows, scan_rows
from fettle.errors import FettleError, InvalidInput, InvalidRows, NotFound

ROWS = [{"prompt": "über\u2028 line", "completion": "a\nb"}, {"prompt": "x", "completion": "y"}]
TEXT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def values(path):
    return [row for _, row in read_rows(path)]


def faults(path):
    return [str(found) for found in scan_rows(path) if isinstance(found, Fault)]


def packed(name: str, content: bytes) -> bytes:
    return {"plain": lambda data: data, "gzip": gzip.compress, "zstd": zstandard.compress}[name](content)


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_rows_are_the_same_however_the_file_is_packed_and_whatever_its_name(tmp_path, packing, mark, end):
    path = tmp_path / "rows.anything"
    path.write_bytes(packed(packing, mark + TEXT.replace(b"\n", end)))
    assert values(path) == ROWS


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_packed_parts_laid_end_to_end_are_one_file(tmp_path, packing):
    path = tmp_path / "rows"
    path.write_bytes(packed(packing, TEXT) + packed(packing, TEXT))
    assert values(path) == ROWS * 2


def test_zeros_behind_a_gzip_stream_are_padding(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(gzip.compress(TEXT) + bytes(512))
    assert values(path) == ROWS


def test_blank_lines_are_skipped_but_counted(write):
    assert list(read_rows(write(b"", b"  \t", b'{"a": 1}', b"", b'{"b": 2}'))) == [(3, {"a": 1}), (5, {"b": 2})]


def test_the_last_line_needs_no_end(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(TEXT.rstrip(b"\n"))
    assert values(path) == ROWS


@settings(max_examples=40)
@given(
    st.lists(st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.none(), max_size=3), min_size=1, max_size=3)
)
def test_what_json_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert values(path) == rows


def test_broken_json_in_line_70001_is_named_with_its_column(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(TEXT * 35_000 + b'{"prompt": "x" "completion": "y"}\n')
    (fault,) = faults(path)
    assert fault.startswith("line 70001: ")
    assert "column 16" in fault
    assert "completion" in fault


def test_every_broken_line_is_named(write):
    found = faults(write(b"{", b'{"a": 1}', b"nonsense", b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": 1} {"b": 2}'))
    assert [fault.partition(":")[0] for fault in found] == ["line 1", "line 3", "line 4", "line 5", "line 6"]
    assert "must stand on one line" in found[0]


def test_text_that_is_not_utf8_is_named_with_its_byte(write):
    assert "0xe9 at byte 7" in faults(write(b'{"a": 1}', b'{"a":"\xe9"}'))[0]


def test_json_nested_too_deeply_is_a_fault_and_no_crash(write):
    assert "line 1" in faults(write(b"[" * 0 + b'{"a":' * 200_000))[0]


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_cut_off_file_gives_what_it_has_and_says_where_it_ends(tmp_path, packing):
    lines = [json.dumps({"prompt": os.urandom(20).hex(), "completion": "y"}) for _ in range(5000)]
    whole = packed(packing, "\n".join(lines).encode())
    path = tmp_path / "rows"
    path.write_bytes(whole[: len(whole) // 2])
    found = list(scan_rows(path))
    assert isinstance(found[-1], Fault)
    assert "cut off" in found[-1].text
    assert found[-1].line == len(found)
    assert [row.value for row in found[:-1]] == [json.loads(line) for line in lines[: len(found) - 1]]


def test_damaged_gzip_is_a_fault_and_no_crash(tmp_path):
    whole = bytearray(gzip.compress(os.urandom(9000).hex().encode()))
    whole[2000:2100] = bytes(100)
    path = tmp_path / "rows"
    path.write_bytes(whole)
    assert "damaged" in faults(path)[-1] or "not valid JSON" in faults(path)[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n" * 10_000, "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"PAR1" + bytes(99), "Parquet"),
        (b"PK\x03\x04zip", "ZIP"),
        (bytes(range(256)), "binary"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        (b'[{"prompt": "a"}]', "list"),
    ],
)
def test_what_is_no_jsonl_is_refused_with_its_kind(tmp_path, content, said):
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=said) as caught:
        list(scan_rows(path))
    assert str(path) in caught.value.message


def test_an_absent_file_is_named_with_the_nearest_one(write):
    path = write({"a": 1}, name="train.jsonl")
    with pytest.raises(NotFound, match=r"train\.jsonl"):
        list(scan_rows(path.with_name("tran.jsonl")))


@pytest.mark.parametrize("path", ["\0", "x" * 5000])
def test_a_path_that_cannot_be_one_is_wrong_input(path):
    with pytest.raises(FettleError):
        list(scan_rows(path))


def test_a_folder_is_wrong_input(tmp_path):
    with pytest.raises(InvalidInput, match="is a folder"):
        list(scan_rows(tmp_path))


def test_reading_strictly_stops_at_the_first_fault(write):
    rows = read_rows(write({"a": 1}, b"{", {"b": 2}))
    assert next(rows) == (1, {"a": 1})
    with pytest.raises(InvalidRows, match="line 2"):
        next(rows)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_memory_does_not_grow_with_the_file(tmp_path, packing):
    line = json.dumps({"prompt": "a" * 1000, "completion": "b"}).encode() + b"\n"
    path = tmp_path / "rows"
    path.write_bytes(packed(packing, line * 40_000))  # 40 MB
    tracemalloc.start()
    try:
        assert sum(1 for _ in scan_rows(path)) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 15e6
    finally:
        tracemalloc.stop()
