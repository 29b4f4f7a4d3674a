from pathlib import Path

import pytest

from fettle.errors import Conflict, NotFound, StorageFailed
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.files import files_in
from fettle.types.resources import CustomModel
from tests.unit.services.conftest import Create


@pytest.fixture
def model(platform: Platform, create: Create) -> CustomModel:
    return platform.tuning_jobs.run(create().id)


def test_an_exported_folder_holds_the_weights_and_the_card_with_its_picture(
    platform: Platform, model: CustomModel, tmp_path: Path
) -> None:
    folder = platform.custom_models.export("tickets", tmp_path / "deep" / "out")
    assert set(files_in(folder)) == {
        "README.md",
        "loss.png",
        "adapter_config.json",
        "adapter_model.safetensors",
        "fettle.json",
    }
    (folder / "adapter_config.json").write_text("changed by its new owner")
    assert (platform.custom_models.path(model) / "adapter_config.json").read_text() == "{}"


def test_a_folder_that_holds_something_is_left_alone_unless_forced(
    platform: Platform, model: CustomModel, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        platform.custom_models.export("tickets", tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == "mine"
    platform.custom_models.export("tickets", tmp_path / "out", force=True)
    assert "tickets:1" in (tmp_path / "out" / "README.md").read_text()


def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left(
    platform: Platform, model: CustomModel, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageFailed, match="cannot be written"):
        platform.custom_models.export("tickets", tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_card_that_was_removed_is_made_again(platform: Platform, model: CustomModel, settings: Settings) -> None:
    card = platform.custom_models.card(model)
    for path in files_in(settings.home / "cards").values():
        path.unlink()
    assert platform.custom_models.card(model) == card


def test_a_deleted_model_takes_its_files_and_card_along(
    platform: Platform, model: CustomModel, settings: Settings
) -> None:
    weights, card = platform.custom_models.path(model), platform.custom_models.card_folder(model)
    assert platform.custom_models.delete("tickets").state == "deleted"
    assert not weights.exists()
    assert not card.exists()
    with pytest.raises(NotFound):
        platform.custom_models.get("tickets")


def test_making_and_deleting_is_written_down(platform: Platform, model: CustomModel) -> None:
    platform.custom_models.delete("tickets:1")
    assert [(event.type, event.body["name"]) for event in platform.events.of(model.id)] == [
        ("created", "tickets:1"),
        ("deleted", "tickets:1"),
    ]
