"""Bad input of every kind ends with one clear message on stderr, exit code 1 or 2, and no traceback."""

import gzip
import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Fettle, run_fettle

pytestmark = pytest.mark.e2e

GOOD = json.dumps({"prompt": "two and two", "completion": "four"})


def check_refused(done: subprocess.CompletedProcess[str], *said: str, code: int = 2) -> None:
    """One message that says these words, nothing on stdout, no traceback."""
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error:") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "this is a bug" not in done.stderr
    assert done.stdout == ""
    for words in said:
        assert words in done.stderr, done.stderr


@pytest.fixture
def good_file(tmp_path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_text("\n".join(GOOD.replace("two", str(number)) for number in range(60)) + "\n")
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD_FILES = {
    "empty": (b"", ["empty"]),
    "only-blank-lines": (b"\n\n  \n", []),
    "binary": (bytes(range(256)) * 64, []),
    "missing-keys": (b'{"prompt": "a"}\n{"completion": "b"}\n{}\n', ["line 1", "line 2", "line 3", "completion"]),
    "wrong-types": (b'{"prompt": 3, "completion": ["x"]}\n', ["line 1", "prompt", "completion"]),
    "not-objects": (b'"b"\n["a"]\n7\nnull\n', ["line 1", "line 4"]),
    "broken-gzip": (gzip.compress(GOOD.encode() * 99)[:40], []),
    "gzip-that-is-none": (b"no gzip at all", []),
    "wrong-role": (b'{"messages": [{"role": "pirate", "content": "arr"}]}\n', ["line 1", "pirate"]),
    "nobody-answers": (b'{"messages": [{"role": "user", "content": "hello?"}]}\n', ["line 1"]),
    "invalid-utf8": (b'{"prompt": "\xff\xfe", "completion": "x"}\n', ["line 1"]),
}


@pytest.mark.parametrize(
    ("command", "kind"),
    [*(("data check", kind) for kind in BAD_FILES), *(("tune", kind) for kind in ("empty", "binary", "missing-keys"))],
)
def test_a_file_that_cannot_be_used_is_refused_with_every_fault(fettle: Fettle, tmp_path, command, kind):
    content, said = BAD_FILES[kind]
    path = written(tmp_path / f"rows.jsonl{'.gz' if 'gzip' in kind else ''}", content)
    check_refused(fettle(*command.split(), str(path), "--base", "tiny"), path.name, *said)


def test_broken_json_in_line_70001_is_found_and_named(fettle: Fettle, tmp_path):
    path = written(tmp_path / "long.jsonl", (GOOD + "\n").encode() * 70_000 + b'{"prompt": "a", "completion": \n')
    check_refused(fettle("tune", str(path), "--base", "tiny"), "line 70001")


def test_an_absent_file_is_named(fettle: Fettle, tmp_path):
    for command in (["tune"], ["data", "check"], ["eval", "tiny"]):
        check_refused(fettle(*command, str(tmp_path / "nowhere.jsonl")), "nowhere.jsonl")


def test_a_folder_in_place_of_a_file_is_named(fettle: Fettle, tmp_path):
    check_refused(fettle("tune", str(tmp_path), "--base", "tiny"), str(tmp_path))


def test_an_absent_model_is_named_with_the_nearest_one(fettle: Fettle, good_file):
    check_refused(fettle("generate", "tinny", "hello"), "'tinny'", "'tiny'")
    check_refused(fettle("eval", "tinny", str(good_file)), "'tinny'", "'tiny'")
    check_refused(fettle("tune", str(good_file), "--base", "tinny"), "'tinny'", "'tiny'")
    check_refused(fettle("models", "show", "tinny"), "'tinny'", "'tiny'")
    check_refused(fettle("models", "delete", "tinny", "--yes"), "'tinny'")
    check_refused(fettle("models", "export", "tinny", "out"), "'tinny'")


def test_an_unknown_method_is_named_with_the_nearest_one(fettle: Fettle, good_file):
    check_refused(fettle("tune", str(good_file), "--base", "tiny", "--method", "lorra"), "'lorra'", "'lora'")


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("rank=0", "rank"),
        ("rank=many", "rank"),
        ("rnk=8", "rnk"),
        ("epochs=0", "epochs"),
        ("learning_rate=-1", "learning_rate"),
        ("learning_rate=nan", "learning_rate"),
        ("validation_fraction=2", "validation_fraction"),
        ("dtype=int3", "dtype"),
        ("first_layer=99", "layer"),
        ("epochs", "key=value"),
    ],
)
def test_a_setting_out_of_bounds_is_named(fettle: Fettle, good_file, assignment, said):
    check_refused(fettle("tune", str(good_file), "--base", "tiny", "--set", assignment), said)


def test_nothing_is_recorded_of_a_job_that_was_refused(fettle: Fettle, good_file):
    before = fettle("models", "list", "--json").stdout
    fettle("tune", str(good_file), "--base", "tiny", "--set", "rank=0")
    assert fettle("models", "list", "--json").stdout == before


def test_an_unknown_job_cannot_be_resumed(fettle: Fettle):
    check_refused(fettle("tune", "--resume", "job_0123456789abcdef"), "job_0123456789abcdef")


def test_a_home_that_cannot_be_written_is_named(tmp_path, good_file):
    file = written(tmp_path / "file", b"")
    for home in (file, file / "inside", Path("/proc/fettle")):
        done = run_fettle("tune", str(good_file), "--base", "tiny", home=home)
        check_refused(done, str(home), "FETTLE_HOME", code=1)


def test_settings_of_the_environment_out_of_bounds_are_named(fettle: Fettle):
    check_refused(fettle("models", "list", FETTLE_PORT="99999", FETTLE_THREADS="0"), "FETTLE_PORT", "FETTLE_THREADS")


def test_a_port_in_use_is_named(fettle: Fettle):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_refused(fettle("up", FETTLE_PORT=str(port)), str(port))


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "tiny", "hello", "--temperature", "9"],
        ["generate", "tiny", "hello", "--max-tokens", "0"],
        ["generate", "tiny", "hello", "--top-p", "x"],
        ["generate", "tiny"],
        ["tune"],
        ["tune", "rows.jsonl", "--resume", "job_0"],
        ["models", "lisst"],
        ["nonsense"],
        ["pull", "/nowhere/at/all"],
    ],
    ids=" ".join,
)
def test_wrong_words_on_the_command_line_are_refused(fettle: Fettle, arguments):
    check_refused(fettle(*arguments))


def test_a_folder_that_is_no_model_cannot_be_pulled(fettle: Fettle, tmp_path):
    check_refused(fettle("pull", str(tmp_path)), str(tmp_path))


def test_a_model_whose_weights_are_cut_off_cannot_be_pulled(fettle: Fettle, tiny_folder, tmp_path):
    broken = Path(shutil.copytree(tiny_folder, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    written(weights, weights.read_bytes()[: weights.stat().st_size // 2])
    check_refused(fettle("pull", str(broken)), "model.safetensors")


def can_mount() -> bool:
    return (
        shutil.which("unshare") is not None and subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount a small disk")
@pytest.mark.parametrize("room", [0, 30, 100, 400])
def test_a_full_disk_is_told_whenever_it_fills_up(home, tmp_path, good_file, room):
    small = tmp_path / "small-disk"
    small.mkdir()
    size = room + sum(path.stat().st_size // 1024 + 4 for path in home.glob("fettle.db*"))
    script = f'mount -t tmpfs -o size={size}k none "{small}" && cp "{home}"/fettle.db* "{small}" && "$@"'
    prefix = ("unshare", "-rm", "sh", "-c", script, "sh")
    done = run_fettle("tune", str(good_file), "--base", "tiny", home=small, prefix=prefix)
    check_refused(done, "space", code=1)
