"""Models at a server."""

import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from fettle.cli.remote.connection import NATIVE, Connection
from fettle.services.custom_models import check_folder, copy_into
from fettle.store.files import files_in
from fettle.types.endpoints import VersionLabel
from fettle.types.told import BaseModelTold, CustomModelTold

CUSTOMS = f"{NATIVE}/custom-models"


class RemoteModels:
    """Base models, and the custom models of the project that the key belongs to."""

    def __init__(self, server: Connection) -> None:
        """The models at `server`."""
        self._server = server

    def bases(self) -> Sequence[BaseModelTold]:
        """All base models."""
        return list(self._server.pages(f"{NATIVE}/base-models", BaseModelTold))

    def customs(self) -> Sequence[CustomModelTold]:
        """All active versions of all custom models, oldest first."""
        found = self._server.pages(CUSTOMS, CustomModelTold)
        return [model for model in found if model.state == "active"][::-1]

    def get(self, name: str) -> CustomModelTold:
        """A version of a custom model, or NotFound."""
        return CustomModelTold.model_validate(self._server.get(f"{CUSTOMS}/{quote(name)}"))

    def card(self, name: str) -> str:
        """Its model card, as Markdown."""
        return self._server.text(f"{CUSTOMS}/{quote(name)}/card")

    def delete(self, name: str) -> CustomModelTold:
        """Delete one version."""
        return CustomModelTold.model_validate(self._server.delete(f"{CUSTOMS}/{quote(name)}"))

    def export(self, name: str, folder: Path, *, force: bool) -> None:
        """Write its files into a folder of this machine."""
        check_folder(folder, force=force)
        with tempfile.TemporaryDirectory(prefix="fettle-") as temporary:
            archive, files = Path(temporary) / "model.tar", Path(temporary) / "model"
            self._server.download(f"{CUSTOMS}/{quote(name)}/archive", archive)
            with tarfile.open(archive) as opened:
                opened.extractall(files, filter="data")
            copy_into(files_in(files), folder)

    def label(self, name: str, word: str) -> VersionLabel:
        """Have a label mean a version."""
        return VersionLabel.model_validate(
            self._server.post(f"{NATIVE}/version-labels", {"model": name, "label": word})
        )
