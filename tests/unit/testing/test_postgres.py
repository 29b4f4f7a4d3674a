import subprocess
from pathlib import Path

from fettle.testing.postgres import watched


def test_a_server_whose_tests_were_killed_is_ended_and_its_folder_removed(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    (folder / "data").mkdir(parents=True)
    with subprocess.Popen(["sleep", "1000"]) as server, watched(folder) as watcher:
        (folder / "data" / "postmaster.pid").write_text(f"{server.pid}\nthe rest\n")
        assert watcher.stdin
        watcher.stdin.close()  # as the kernel does for a killed process
        assert server.wait(60) < 0
        watcher.wait(60)
    assert not folder.exists()
