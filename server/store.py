"""The model store: where archives are found, fetched, and unpacked into private folders."""

from __future__ import annotations

import asyncio
import errno
import re
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ..archiver import Manifest, unpack
from .download import Downloads
from .errors import DownloadFailed, ModelNotFound, ServingError

SCHEMES = ("file", "http", "https")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An archive's files: `model_dir` holds them, inside `folder`, which is ours alone."""

    folder: Path
    model_dir: Path
    manifest: Manifest
    stem: str
    """The archive's file name without its ending: a name for a model that has none."""


class ModelStore:
    """Finds archives by name in one folder, or by URL where that is allowed, and unpacks them."""

    def __init__(self, root: Path | None, temp_dir: Path, allowed_urls: Sequence[str] = ()) -> None:
        """Unpack under a new private folder in `temp_dir`; `close()` removes it."""
        self._root = root
        self._downloads = Downloads(allowed_urls)
        self._scratch = Path(tempfile.mkdtemp(prefix="numserve-", dir=temp_dir))

    async def fetch(self, url: str) -> Unpacked:
        """Find what `url` names and unpack it; a folder is used in place.

        Raises: ModelNotFound, DownloadFailed, ArchiveError, ServingError where the disk is full
        """
        return await asyncio.to_thread(self._fetch, url)

    async def discard(self, unpacked: Unpacked) -> None:
        """Remove the unpacked files; an archive and a folder used in place stay."""
        await asyncio.to_thread(shutil.rmtree, unpacked.folder, ignore_errors=True)

    def close(self) -> None:
        """Remove everything that was unpacked."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _fetch(self, url: str) -> Unpacked:
        folder = self._scratch / secrets.token_hex(16)
        folder.mkdir(0o700)
        try:
            source = self._find(url, folder)
            model_dir = folder / "model"
            return Unpacked(folder, model_dir, unpack(source, model_dir), stem_of(source.name))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            failed = ServingError(f"Failed to save model: {url}", f"{type(error).__name__}: {error}")
            failed.code = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
            raise failed from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _find(self, url: str, folder: Path) -> Path:
        """The archive or folder that `url` names (contract: management API, section 3.3)."""
        if not url.strip():
            raise ModelNotFound("empty url")
        if ".." in unquote(url):
            raise ModelNotFound(f"Relative path is not allowed in url: {url}")
        if urlsplit(url).scheme.lower() in SCHEMES:
            return self._from_url(url, folder)
        if Path(url).is_absolute() and Path(url).is_dir():
            return Path(url)
        if self._root is None:
            raise ModelNotFound("Model store has not been configured.")
        source = self._root / PurePosixPath(url).name
        if not source.exists():
            raise ModelNotFound(f"Model not found at: {url}", f"there is no {source}")
        return source

    def _from_url(self, url: str, folder: Path) -> Path:
        if not self._downloads.allows(url):
            raise ModelNotFound(f"Given URL {url} does not match any allowed URL(s)", "the setting is allowed_urls")
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        if parts.scheme.lower() != "file":
            return self._downloads.fetch(url, folder / (path.name or "archive"))
        if not path.exists():
            raise DownloadFailed(f"Failed to download archive from: {url}", "there is no such file")
        return path


def stem_of(file_name: str) -> str:
    """A model name made of a file's: without its ending, word characters only (contract: configuration, section 5)."""
    stem = re.sub(r"\.(mar|model|tar\.gz|tgz)$", "", file_name)
    return re.sub(r"\W", "_", stem).lstrip("_") or "model"
