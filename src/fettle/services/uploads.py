"""Uploads: files that come in parts, which are on the disk before they are acknowledged."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fettle.errors import Conflict, InvalidInput
from fettle.services.files import Files
from fettle.store.files import storage_told, sync
from fettle.store.repository import Records, Repository
from fettle.types.ids import new_id, now
from fettle.types.record import Record
from fettle.types.resources import GivenPurpose, Upload, UploadState

LIFETIME = timedelta(hours=1)
MAX_BYTES = 8 << 30
_PART = "part"
_CHUNK_SIZE = 1 << 20


class UploadPart(Record):
    """A piece of a file that is still to be put together."""

    id: str
    upload: str
    created_at: datetime
    size_bytes: int


class Uploads:
    """The uploads of this installation; an upload's parts are files in a folder of its own, called by their ids."""

    def __init__(self, repository: Repository, files: Files, root: Path) -> None:
        """The uploads in `repository`, with their parts below `root`; what they become is kept in `files`."""
        self._repository, self._files, self._root = repository, files, root

    def create(self, filename: str, purpose: GivenPurpose, size_bytes: int) -> Upload:
        """Begin an upload; it has an hour's time."""
        self.sweep()
        moment = now()
        return self._repository.insert(
            Upload(
                id=new_id("upload"),
                filename=filename,
                purpose=purpose,
                size_bytes=size_bytes,
                created_at=moment,
                expires_at=moment + LIFETIME,
            )
        )

    def pending(self, upload_id: str) -> Upload:
        """The upload with this id, which still takes parts.

        Raises:
            NotFound: there is none.
            Conflict: it is completed, cancelled or expired.
        """
        with self._repository.read() as records:
            return _pending(records, upload_id)

    @contextmanager
    def draft(self, upload: Upload) -> Iterator[Path]:
        """A path at which a part can be written, for `add`; it is gone after the block.

        Raises:
            StorageFailed: the disk is full or may not be written, also when that shows inside the block.
        """
        folder = self._folder(upload.id)
        path = folder / new_id("draft")
        with storage_told(f"parts cannot be kept in {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def add(self, upload: Upload, draft: Path) -> UploadPart:
        """Keep what was written at `draft` as a part; it is safe on the disk when this returns.

        Raises:
            Conflict: the upload is completed, cancelled or expired.
            InvalidInput: the part, or all parts together, are more than was promised or is possible.
        """
        size = draft.stat().st_size
        if size > upload.size_bytes:
            raise InvalidInput(f"the part has {size} bytes; {upload.size_bytes} were promised for the whole file")
        if size + sum(part.size_bytes for part in self._parts(upload.id).values()) > MAX_BYTES:
            raise InvalidInput(f"the parts have more than {MAX_BYTES} bytes", hint="Begin another upload.")
        sync(draft)
        # In a write transaction: nobody can complete or cancel it between the look and the rename.
        with self._repository.write() as records:
            _pending(records, upload.id)
            path = draft.rename(draft.with_name(new_id(_PART)))
            sync(path.parent)
        return _part(path)

    def complete(self, upload_id: str, part_ids: Sequence[str], md5: str | None = None) -> Upload:
        """Make a file of these parts, in this order; the others are dropped.

        Raises:
            NotFound: there is no such upload.
            Conflict: it is completed, cancelled or expired.
            InvalidInput: parts are missing or named twice, or together are not what was promised; it stays pending.
        """
        upload, known = self.pending(upload_id), self._parts(upload_id)
        _check_parts(upload, part_ids, known)
        with self._files.draft() as path:
            found = _joined([self._folder(upload_id) / part_id for part_id in part_ids], path)
            if md5 is not None and found != md5.lower():
                raise InvalidInput(f"the parts have the md5 {found}; {md5} was expected", param="md5")
            with self._files.kept(path, upload.filename, upload.purpose) as (records, file):
                _pending(records, upload_id)
                done = records.move(Upload, upload_id, "completed", file=file.id)
        self._drop(upload_id)
        return done

    def cancel(self, upload_id: str) -> Upload:
        """End an upload and drop its parts.

        Raises:
            NotFound: there is no such upload.
            Conflict: it is completed, cancelled or expired.
        """
        with self._repository.write() as records:
            _pending(records, upload_id)
            done = records.move(Upload, upload_id, "cancelled")
        self._drop(upload_id)
        return done

    def sweep(self) -> None:
        """Let uploads expire whose time is over, and drop the parts of all that ended; those of all projects."""
        repository = self._repository.everywhere
        with repository.write() as records:
            late = [upload for upload in records.find(Upload, state="pending") if _is_late(upload)]
            for upload in late:
                records.move(Upload, upload.id, "expired")
        for folder in self._root.glob("upload_*"):
            if not repository.find(Upload, id=folder.name, state="pending"):
                self._drop(folder.name)

    def _folder(self, upload_id: str) -> Path:
        return self._root / upload_id

    def _parts(self, upload_id: str) -> dict[str, UploadPart]:
        return {path.name: _part(path) for path in self._folder(upload_id).glob(f"{_PART}_*")}

    def _drop(self, upload_id: str) -> None:
        shutil.rmtree(self._folder(upload_id), ignore_errors=True)


def _pending(records: Records, upload_id: str) -> Upload:
    upload = records.get(Upload, upload_id)
    state: UploadState = "expired" if upload.state == "pending" and _is_late(upload) else upload.state
    if state != "pending":
        raise Conflict(f"the upload {upload_id!r} is {state}", hint="Begin another with POST /v1/uploads.")
    return upload


def _is_late(upload: Upload) -> bool:
    return now() >= upload.expires_at


def _part(path: Path) -> UploadPart:
    about = path.stat()
    made = datetime.fromtimestamp(about.st_mtime, UTC)
    return UploadPart(id=path.name, upload=path.parent.name, created_at=made, size_bytes=about.st_size)


def _check_parts(upload: Upload, part_ids: Sequence[str], known: dict[str, UploadPart]) -> None:
    faults = [f"there is no part {part_id!r}" for part_id in dict.fromkeys(part_ids) if part_id not in known]
    faults += [f"the part {part_id!r} is named {n} times" for part_id, n in Counter(part_ids).items() if n > 1]
    size = sum(known[part_id].size_bytes for part_id in part_ids if part_id in known)
    if not faults and size != upload.size_bytes:
        faults.append(f"the parts have {size} bytes; {upload.size_bytes} were promised")
    if faults:
        raise InvalidInput("\n".join(faults), hint="Name all parts, in order, each once.", param="part_ids")


def _joined(parts: Sequence[Path], target: Path) -> str:
    """Write the parts one after the other to `target`; the md5 of the whole, in hex."""
    digest = hashlib.md5(usedforsecurity=False)
    with target.open("wb") as whole:
        for path in parts:
            with path.open("rb") as part:
                while chunk := part.read(_CHUNK_SIZE):
                    digest.update(chunk)
                    whole.write(chunk)
    return digest.hexdigest()
