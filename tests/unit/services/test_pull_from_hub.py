import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fettle.testing.model_files import safetensors_of, write_model_files
from tests.unit.services.hub import Hub, running

# In a process of its own: the hub's library reads HF_ENDPOINT once, when it is imported.
PULL = """
import json, sys
from pathlib import Path
from fettle.errors import FettleError
from fettle.services.platform import Platform
from fettle.settings import Settings

with Platform(Settings(home=Path(sys.argv[1]))) as platform:
    try:
        print(platform.base_models.pull(sys.argv[2]).model_dump_json())
    except FettleError as error:
        print(json.dumps({"code": error.code, "message": error.message, "hint": error.hint}))
"""
WEIGHTS_BYTES = 3_000_000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = write_model_files(tmp_path / "hub" / "small", weights_bytes=WEIGHTS_BYTES)
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    with running(tmp_path / "hub") as serving:
        yield serving


def pull(home: Path, name: str, endpoint: str, **environment: str) -> dict[str, Any]:
    command = [sys.executable, "-c", PULL, str(home), name]
    settings = {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home / "hf")}
    settings |= {"HF_HUB_OFFLINE": "0"} | environment  # the stand-in is reached over loopback
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | settings)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_model_comes_from_the_hub_without_what_is_not_needed(tmp_path: Path, hub: Hub) -> None:
    entry = pull(tmp_path / "home", "org/small", hub.url)
    assert (entry["name"], entry["source"], entry["licence"], entry["family"]) == ("small", "hub", "mit", "llama")
    names = {path.name for path in Path(entry["path"]).iterdir()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors", "README.md"}
    assert "pytorch_model.bin" not in {name for name, _ in hub.sent}


def test_an_interrupted_pull_goes_on_where_it_stopped(tmp_path: Path, hub: Hub) -> None:
    hub.break_at = 1_000_000
    failed = pull(tmp_path / "home", "org/small", hub.url)
    assert (failed["code"], "goes on where it stopped" in failed["hint"]) == ("unavailable", True)
    assert not list((tmp_path / "home" / "models").glob("[!.]*"))
    hub.break_at = None
    hub.sent.clear()
    entry = pull(tmp_path / "home", "org/small", hub.url)
    fetched = dict(hub.sent)
    assert "config.json" not in fetched, "what was there whole is not fetched again"
    assert fetched["model.safetensors"] == 1_000_000, "the rest is fetched, not the whole"
    weights = Path(entry["path"]) / "model.safetensors"
    assert weights.read_bytes() == safetensors_of("model.safetensors", WEIGHTS_BYTES)


def test_a_model_that_is_not_there_is_told(tmp_path: Path, hub: Hub) -> None:
    told = pull(tmp_path / "home", "org/absent", hub.url)
    assert told["code"] == "not_found"
    assert "org/absent" in told["message"]


def test_a_gated_model_is_told_with_what_to_do(tmp_path: Path, hub: Hub) -> None:
    hub.gated.add("small")
    told = pull(tmp_path / "home", "org/small", hub.url)
    assert told["code"] == "invalid_input"
    assert "Accept its terms" in told["hint"]
    assert "HF_TOKEN" in told["hint"]


def test_a_model_without_safetensors_is_refused_before_anything_is_fetched(tmp_path: Path, hub: Hub) -> None:
    (hub.root / "small" / "model.safetensors").unlink()
    told = pull(tmp_path / "home", "org/small", hub.url)
    assert told["code"] == "unsupported_model"
    assert "safetensors" in told["message"]
    assert hub.sent == []


def test_an_unsupported_family_is_refused_before_its_weights_are_fetched(tmp_path: Path, hub: Hub) -> None:
    write_model_files(hub.root / "small", model_type="whisper")
    told = pull(tmp_path / "home", "org/small", hub.url)
    assert told["code"] == "unsupported_model"
    assert "qwen3" in told["hint"]
    assert [name for name, _ in hub.sent] == ["config.json"]


def test_without_a_connection_it_says_so(tmp_path: Path, hub: Hub) -> None:
    hub.shutdown()
    hub.server_close()
    told = pull(tmp_path / "home", "org/small", hub.url)
    assert told["code"] == "unavailable"
    assert "cannot be reached" in told["message"]


def test_offline_mode_is_kept_to(tmp_path: Path, hub: Hub) -> None:
    told = pull(tmp_path / "home", "org/small", hub.url, HF_HUB_OFFLINE="1")
    assert told["code"] == "unavailable"
    assert hub.sent == []
