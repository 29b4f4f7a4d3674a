import json
from pathlib import Path

import pytest
from safetensors import safe_open

from fettle.adapters.classifiers import CLASSIFIERS
from fettle.adapters.methods import METHODS
from fettle.errors import Conflict, NotFound, UnsupportedModel
from fettle.registry.base_models import BaseModels, not_installed, packaged, read_entry
from fettle.store.repository import Repository
from fettle.testing.model_files import write_model_files
from fettle.types.decoder import FAMILIES
from fettle.types.foreign import FOREIGN


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_shards", [1, 3])
def test_a_folder_of_every_family_is_read_without_loading_it(tmp_path: Path, family: str, num_shards: int) -> None:
    folder = write_model_files(tmp_path / "m", num_shards=num_shards, model_type=family)
    entry = read_entry(folder, name="m", source="folder")
    assert (entry.family, entry.context, entry.methods) == (family, 64, tuple(METHODS))
    assert entry.size_bytes == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert entry.licence == "unknown"


@pytest.mark.parametrize("family", FOREIGN)
def test_a_family_that_only_transformers_has_is_read_without_loading_it(tmp_path: Path, family: str) -> None:
    folder = write_model_files(tmp_path / "m", model_type=family, attn_logit_softcapping=None, weights_bytes=70)
    entry = read_entry(folder, name="m", source="folder")
    assert (entry.family, entry.context, entry.parameters, entry.methods) == (family, 64, 70, tuple(METHODS))


@pytest.mark.parametrize(("family", "why"), [("gpt_oss", "sinks"), ("bloom", "cannot be replaced"), ("whisper", "")])
def test_a_family_that_cannot_run_is_refused_with_those_that_can(tmp_path: Path, family: str, why: str) -> None:
    folder = write_model_files(tmp_path / "m", model_type=family)
    with pytest.raises(UnsupportedModel, match=f"'{family}' is not supported.*{why}") as caught:
        read_entry(folder, name="m", source="folder")
    assert all(name in caught.value.hint for name in (*FAMILIES, *FOREIGN))


def test_the_files_that_the_tests_make_are_safetensors(tmp_path: Path) -> None:
    folder = write_model_files(tmp_path / "m", weights_bytes=10)
    with safe_open(folder / "model.safetensors", "numpy") as file:
        assert [file.get_tensor(name).tolist() for name in file.keys()] == [list(range(10))]  # noqa: SIM118


def test_the_licence_comes_from_the_head_of_the_readme(tmp_path: Path) -> None:
    folder = write_model_files(tmp_path / "m")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# Model\nlicense: not this one")
    assert read_entry(folder, name="m", source="folder").licence == "mit"


def test_an_unknown_family_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    folder = write_model_files(tmp_path / "m", model_type="whisper")
    with pytest.raises(UnsupportedModel, match="whisper") as caught:
        read_entry(folder, name="m", source="folder")
    assert all(family in caught.value.hint for family in FAMILIES)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = write_model_files(tmp_path / "m")
    (folder / missing).unlink()
    with pytest.raises(UnsupportedModel, match=missing):
        read_entry(folder, name="m", source="folder")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_model_files(tmp_path / "m", num_shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match="model-00002-of-00003"):
        read_entry(folder, name="m", source="folder")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = write_model_files(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match="pickled"):
        read_entry(folder, name="m", source="folder")


@pytest.mark.parametrize("keep", [0, 4, 30, -1])
def test_a_file_that_was_cut_off_is_found(tmp_path: Path, keep: int) -> None:
    path = write_model_files(tmp_path / "m") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnsupportedModel, match=r"not a safetensors file|its header says"):
        read_entry(path.parent, name="m", source="folder")


def test_a_placeholder_of_git_lfs_is_no_model(tmp_path: Path) -> None:
    path = write_model_files(tmp_path / "m") / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n")
    with pytest.raises(UnsupportedModel, match="Git LFS"):
        read_entry(path.parent, name="m", source="folder")


def test_a_config_that_is_no_json_is_told(tmp_path: Path) -> None:
    folder = write_model_files(tmp_path / "m")
    (folder / "config.json").write_text("{")
    with pytest.raises(UnsupportedModel, match=r"config\.json cannot be read"):
        read_entry(folder, name="m", source="folder")


def test_packaged_models_are_listed_as_far_as_they_are_there(tmp_path: Path) -> None:
    listing = tmp_path / "base_models.toml"
    listing.write_text('[small]\nfolder = "small"\nlicence = "MIT"\n[absent]\nfolder = "absent"\nlicence = "MIT"\n')
    write_model_files(tmp_path / "small")
    (entry,) = packaged(listing)
    assert (entry.name, entry.source, entry.licence) == ("small", "packaged", "MIT")


def test_a_model_whose_files_are_in_another_package_is_found_there(tmp_path: Path, monkeypatch) -> None:
    listing = tmp_path / "base_models.toml"
    told = 'licence = "MIT"\nextra = "tiny"\n'
    listing.write_text(f'[tiny]\npackage = "a_tiny_model"\nfolder = "model"\n{told}')
    assert packaged(listing) == []
    absent = not_installed("tiny", listing)
    assert absent is not None
    assert "pip install 'fettle-ai[tiny]'" in absent.hint
    package = tmp_path / "site" / "a_tiny_model"
    write_model_files(package / "model", model_type="bert")
    (package / "__init__.py").write_text("raise SystemExit('nobody shall run this')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (entry,) = packaged(listing)
    assert (entry.family, entry.methods) == ("bert", tuple(CLASSIFIERS))
    assert not_installed("tiny", listing) is None


def test_the_listed_models_that_are_no_extras_need_nothing_installed(repository: Repository) -> None:
    assert not_installed("pocket") is None
    assert not_installed("whatever") is None


def test_a_pulled_model_is_found_by_its_name_and_only_once(tmp_path: Path, repository: Repository) -> None:
    models = BaseModels(repository)
    entry = read_entry(write_model_files(tmp_path / "m"), name="org/small", source="hub")
    models.add(entry)
    assert models.get("org/small") == entry
    with pytest.raises(Conflict, match="org/small"):
        models.add(entry)
    with pytest.raises(NotFound, match="org/small"):
        models.get("org/smal")


def test_an_index_without_a_map_is_no_crash(tmp_path: Path) -> None:
    folder = write_model_files(tmp_path / "m", num_shards=2)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}}))
    with pytest.raises(UnsupportedModel, match="weight_map"):
        read_entry(folder, name="m", source="folder")
