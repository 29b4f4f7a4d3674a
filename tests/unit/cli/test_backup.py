import json

from fettle.cli.main import main


def test_a_home_is_backed_up_and_made_again(tmp_path, monkeypatch, capsys):
    file = tmp_path / "backup.tar"
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "home"))
    assert main(["projects", "create", "research"]) == 0
    assert main(["backup", str(file)]) == 0
    assert main(["backup", str(file)]) == 2
    assert "there already" in capsys.readouterr().err

    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "other"))
    assert main(["restore", str(file)]) == 0
    assert f"{tmp_path / 'other'} is as {tmp_path / 'home'} was" in " ".join(capsys.readouterr().out.split())
    assert main(["projects", "list", "--json"]) == 0
    assert "research" in [project["id"] for project in json.loads(capsys.readouterr().out)["projects"]]
    assert main(["restore", str(file)]) == 2
    assert "not empty" in capsys.readouterr().err
