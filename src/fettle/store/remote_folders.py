"""Artifacts at a URL: whole folders in an object store or on another machine's disk, by fsspec."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fettle.errors import Conflict, InvalidInput, StorageFailed
from fettle.store.files import files_in
from fettle.store.ownership import ID_FILE, home_id


class RemoteFolders:
    """Folders by the hash of their content, below a URL that belongs to one home folder.

    Two homes at one URL would remove each other's files.
    """

    def __init__(self, url: str, home: Path) -> None:
        """The folders of `home` below `url`; nothing is asked of it yet.

        Raises:
            InvalidInput: fsspec cannot do anything with the URL here.
        """
        self.name, self._home, self._is_mine = _without_password(url), home, False
        self._files, self._root = _opened(url, self.name)

    def keep(self, content_hash: str, folder: Path) -> None:
        """Send what is in `folder`, unless it is there already.

        Raises:
            Conflict: the URL belongs to another home folder.
            StorageFailed: it cannot be sent.
        """
        self._claim()
        with self._told("artifacts cannot be kept at"):
            here, there = files_in(folder), self._sizes(content_hash)
            missing = [name for name, path in here.items() if there.get(name) != path.stat().st_size]
            for parent in {self._place(content_hash, name).rpartition("/")[0] for name in missing}:
                self._make_folder(parent)
            if missing:
                there_now = [self._place(content_hash, name) for name in missing]
                self._files.put([str(here[name]) for name in missing], there_now)

    def bring(self, content_hash: str, folder: Path) -> bool:
        """Fetch the files of a folder; False if there is none.

        Raises:
            StorageFailed: they cannot be fetched.
        """
        with self._told("artifacts cannot be read from"):
            names = list(self._sizes(content_hash))
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if names:
                self._files.get([self._place(content_hash, name) for name in names], [str(folder / n) for n in names])
        return bool(names)

    def remove(self, content_hash: str) -> None:
        """Remove a folder, if there is one.

        Raises:
            Conflict: the URL belongs to another home folder.
            StorageFailed: it cannot be removed.
        """
        self._claim()
        with self._told("artifacts cannot be removed from"):
            if self._sizes(content_hash):
                self._files.rm(self._place(content_hash), recursive=True)

    def listing(self) -> Mapping[str, Mapping[str, int]]:
        """The sizes in bytes of all files, by the hash of their folder and their name.

        Raises:
            StorageFailed: the URL cannot be read.
        """
        folders: dict[str, dict[str, int]] = defaultdict(dict)
        with self._told("artifacts cannot be listed at"):
            for place, size in self._sizes_below(self._root).items():
                _, _, inside = place.partition("/")
                content_hash, _, name = inside.partition("/")
                if name:
                    folders[content_hash][name] = size
        return folders

    def _sizes(self, content_hash: str) -> dict[str, int]:
        return self._sizes_below(self._place(content_hash))

    def _sizes_below(self, place: str) -> dict[str, int]:
        """By names relative to `place`; what somebody else has just changed is seen."""
        self._files.invalidate_cache()
        found: dict[str, dict[str, Any]] = self._files.find(place, detail=True)
        return {name[len(place) + 1 :]: int(info["size"]) for name, info in found.items()}

    def _place(self, content_hash: str, name: str = "") -> str:
        place = f"{self._root}/{content_hash[:2]}/{content_hash}"
        return f"{place}/{name}" if name else place

    def _make_folder(self, place: str) -> None:
        # Object stores, which are the asynchronous ones, have no folders, but would make a bucket of a misspelt name.
        if not self._files.async_impl:
            self._files.makedirs(place, exist_ok=True)

    def _claim(self) -> None:
        """See that the URL is this home's, or make it so."""
        if self._is_mine:
            return
        mine, mark = home_id(self._home), f"{self._root}/{ID_FILE}"
        with self._told("artifacts cannot be kept at"):
            if not self._files.exists(mark):
                self._make_folder(self._root)
                self._files.pipe_file(mark, mine.encode())
            owner = self._files.cat_file(mark).decode()
        if owner != mine:
            raise Conflict(
                f"{self.name} belongs to another home folder",
                hint=f"Give each home a URL of its own. If the other one is gone, remove {self.name}/{ID_FILE}.",
                param="artifacts_url",
            )
        self._is_mine = True

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Each of fsspec's implementations has errors of its own, with no class in common.
            reason = str(error) or type(error).__name__
            raise StorageFailed(f"{what} {self.name}: {reason}", hint="See that it can be reached.") from error


def _opened(url: str, name: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # only those who keep artifacts at a URL should wait for it

    try:
        files, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        fault = f"artifacts_url is {name}: {error}"
        hint = "Install what it names; for S3, `pip install 'fettle-ai[s3]'`."
        raise InvalidInput(fault, hint=hint, param="artifacts_url") from error
    except Exception as error:  # as in `_told`
        fault = f"artifacts_url is {name}: a URL that fsspec can open was expected ({error})"
        raise InvalidInput(fault, hint="For example s3://BUCKET/FOLDER.", param="artifacts_url") from error
    return files, root.rstrip("/")


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url).rstrip("/")
