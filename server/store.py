"""The model store: where archives are found, fetched, and unpacked into private folders."""

from __future__ import annotations

import asyncio
import errno
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

from ..archiver import Manifest, unpack
from .download import Downloads
from .errors import DownloadFailed, ModelNotFound, ServingError
from .scratch import Scratch

SCHEMES = ("file", "http", "https")

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Unpacked(Generic[M]):
    """An archive's files: `model_dir` holds them, a folder of ours alone, or a link to one that is used in place."""

    model_dir: Path
    manifest: M
    stem: str
    """The archive's file name without its ending: a name for a model that has none."""


class Store(Generic[M]):
    """Finds archives by name in one folder, or by URL where that is allowed, and unpacks them."""

    def __init__(
        self,
        root: Path | None,
        temp_dir: Path,
        allowed_urls: Sequence[str] = (),
        *,
        unpack: Callable[[Path, Path], M],
        not_found: type[ServingError],
        what: str,
        missing: str,
    ) -> None:
        """Unpack under a new private folder in `temp_dir`; `close()` removes it.

        `what` the archives are of and `missing`, with a place for what was asked for, are what `not_found` says.
        """
        self._root = root
        self._unpack = unpack
        self._not_found = not_found
        self._what = what
        self._missing = missing
        self._downloads = Downloads(allowed_urls)
        self._scratch = Scratch(temp_dir)

    async def fetch(self, url: str) -> Unpacked[M]:
        """Find what `url` names and unpack it; a folder is used in place.

        Raises: `not_found`, DownloadFailed, ArchiveError, ServingError where the disk is full
        """
        return await asyncio.to_thread(self._fetch, url)

    async def discard(self, unpacked: Unpacked[M]) -> None:
        """Remove the unpacked files; an archive and a folder used in place stay."""
        await asyncio.to_thread(_remove, unpacked.model_dir)

    def close(self) -> None:
        """Remove everything that was unpacked."""
        self._scratch.close()

    def _fetch(self, url: str) -> Unpacked[M]:
        place = self._scratch.path / secrets.token_hex(16)
        downloads = place.with_suffix(".download")
        try:
            source = self._find(url, downloads)
            return Unpacked(place, self._unpack(source, place), stem_of(source.name))
        except OSError as error:
            failed = ServingError(f"Failed to save {self._what.lower()}: {url}", f"{type(error).__name__}: {error}")
            failed.code = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
            raise failed from error
        finally:
            _remove(downloads)

    def _find(self, url: str, downloads: Path) -> Path:
        """The archive or folder that `url` names (contract: management API, section 3.3).

        What has to be fetched is in the new folder `downloads` then.
        """
        if not url.strip():
            raise self._not_found("empty url")
        if ".." in unquote(url):
            raise self._not_found(f"Relative path is not allowed in url: {url}")
        if urlsplit(url).scheme.lower() in SCHEMES:
            return self._from_url(url, downloads)
        if Path(url).is_absolute() and Path(url).is_dir():
            return Path(url)
        if self._root is None:
            raise self._not_found(f"{self._what} store has not been configured.")
        source = self._root / PurePosixPath(url).name
        if not source.exists():
            raise self._not_found(self._missing.format(url), f"there is no {source}")
        return source

    def _from_url(self, url: str, downloads: Path) -> Path:
        if not self._downloads.allows(url):
            raise self._not_found(f"Given URL {url} does not match any allowed URL(s)", "the setting is allowed_urls")
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        if parts.scheme.lower() != "file":
            downloads.mkdir(0o700)
            return self._downloads.fetch(url, downloads / (path.name or "archive"))
        if not path.exists():
            raise DownloadFailed(f"Failed to download archive from: {url}", "there is no such file")
        return path


class ModelStore(Store[Manifest]):
    """The store of models' archives."""

    def __init__(self, root: Path | None, temp_dir: Path, allowed_urls: Sequence[str] = ()) -> None:
        """See Store."""
        super().__init__(
            root,
            temp_dir,
            allowed_urls,
            unpack=unpack,
            not_found=ModelNotFound,
            what="Model",
            missing="Model not found at: {}",
        )


def _remove(place: Path) -> None:
    """Remove a folder with what is in it, or a link; nothing may be there."""
    if place.is_symlink():
        place.unlink(missing_ok=True)
    elif place.exists():
        shutil.rmtree(place, ignore_errors=True)


def stem_of(file_name: str) -> str:
    """A model name made of a file's: without its ending, word characters only (contract: configuration, section 5)."""
    stem = re.sub(r"\.(mar|model|tar\.gz|tgz|war)$", "", file_name)
    return re.sub(r"\W", "_", stem).lstrip("_") or "model"
