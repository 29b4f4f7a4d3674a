"""What the doctor finds, and that it never falls ill itself."""

import os
import subprocess
import sys

from fettle.cli import checks
from fettle.errors import Unavailable
from fettle.settings import Settings


def test_a_home_that_cannot_be_written_is_an_error_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    (finding,) = checks.examine(checks.home, Settings(home=tmp_path / "file"))
    assert finding.state == "error"
    assert "FETTLE_HOME" in finding.hint


def test_room_is_looked_at_even_where_the_home_does_not_exist_yet(tmp_path):
    (finding,) = checks.examine(checks.disk, Settings(home=tmp_path / "not" / "yet"))
    assert "free" in finding.found
    assert not (tmp_path / "not").exists()


def test_more_threads_than_cores_is_a_warning(tmp_path):
    (finding,) = checks.threads(Settings(home=tmp_path, threads=1024))
    assert finding.state == "warning"
    assert "FETTLE_THREADS" in finding.hint


def test_an_error_on_the_way_of_a_check_is_its_finding(tmp_path):
    def broken(_: Settings) -> list[checks.Finding]:
        raise Unavailable("it does not run", hint="Start it.")

    (finding,) = checks.examine(broken, Settings(home=tmp_path))
    assert (finding.check, finding.state, finding.found, finding.hint) == (
        "broken",
        "error",
        "it does not run",
        "Start it.",
    )


def test_torch_that_cannot_be_imported_is_an_error_with_its_last_words(tmp_path, monkeypatch):
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libtorch.so is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = checks.examine(checks.torch, Settings(home=tmp_path))
    assert finding.state == "error"
    assert "libtorch.so is missing" in finding.found


def test_no_check_loads_torch_into_the_doctors_process(tmp_path):
    script = "import sys; from fettle.cli.main import main; main(['doctor']); sys.exit('torch' in sys.modules)"
    environment = os.environ | {"FETTLE_HOME": str(tmp_path), "FETTLE_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)


def test_the_doctor_says_which_database_it_is_and_no_password(tmp_path, database_url):
    settings = Settings(home=tmp_path, database_url=database_url)
    (finding,) = checks.examine(checks.database, settings)
    product, place = ("PostgreSQL", "postgresql://postgres@") if database_url else ("SQLite", str(tmp_path))
    assert (finding.state, finding.found.partition(" ")[0]) == ("ok", product)
    assert place in finding.found


def test_a_database_that_does_not_answer_is_an_error_without_its_password(tmp_path):
    settings = Settings(home=tmp_path, database_url="postgresql://me:secret@127.0.0.1:1/fettle")
    (finding,) = checks.examine(checks.database, settings)
    assert finding.state == "error"
    assert "Start the server" in finding.hint
    assert "secret" not in f"{finding} {settings!r}"


def test_orphans_are_told_and_only_removed_when_asked(tmp_path):
    card = tmp_path / "cards" / "model_deleted" / "README.md"
    card.parent.mkdir(parents=True)
    card.write_text("left")
    settings = Settings(home=tmp_path)
    (finding,) = checks.orphans(settings)
    assert (finding.state, finding.found) == ("warning", "1 x card of a model that was deleted")
    assert "--mend" in finding.hint
    assert card.exists()
    assert [finding.check for finding in checks.mend(settings)] == ["mended"]
    assert not card.exists()
    assert (checks.orphans(settings)[0].found, checks.mend(settings)) == ("none", [])
