"""Weights files on the Hugging Face Hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import (
    FAILED,
    NO_CONNECTION,
    OFFLINE_VARIABLE,
    REFUSED,
    DownloadProgress,
    PublishedFile,
    cache_folder,
    offline,
)
from napari_vrp_sam.models.weights.transfer import WEB_PAGE

HUB = "https://huggingface.co"
FILE = "model.safetensors"


@dataclass(frozen=True)
class HubFile(PublishedFile):
    """Weights file of a repository of the Hugging Face Hub.

    The Hub's own client downloads it, resumes interrupted downloads and compares the size with the
    one that the Hub lists. Files that timm has downloaded are found too. `HF_ENDPOINT`, `HF_HOME`
    and `HF_TOKEN` are settings of the client.
    """

    repository: str = ""

    @classmethod
    def of(cls, repository: str, licence: str, title: str, size: int | None = None) -> HubFile:
        """Return the weights file of a repository."""
        url = f"{HUB}/{repository}/resolve/main/{FILE}"
        name = f"{repository.replace('/', '--')}.safetensors"
        return cls(url, "", licence, size, title, name, repository)

    @property
    def path(self) -> Path:
        """Path of the downloaded file; before the download, the folder of its repository."""
        name = f"models--{self.repository.replace('/', '--')}"
        return self.find() or hub_folder() / name

    @property
    def downloaded(self) -> bool:
        """True if the Hub's cache has the file."""
        return self.find() is not None

    def find(self) -> Path | None:
        """Return the file in the cache folder, or in that of the Hub's client."""
        from huggingface_hub import try_to_load_from_cache

        for folder in (hub_folder(), None):
            found = try_to_load_from_cache(self.repository, FILE, cache_dir=folder)
            if isinstance(found, str):
                return Path(found)
        return None

    def matches(self, path: Path) -> bool:
        """Return whether a path is that of the downloaded file."""
        found = self.find()
        return found is not None and path.resolve() == found.resolve()

    def fetch(self, *, progress: DownloadProgress | None = None) -> Path:
        """See the base class."""
        found = self.find()
        if found is not None:
            return found
        if offline():
            raise InputError(
                f"{self.download_text}, but offline mode is on.\n"
                f"Offline mode ({OFFLINE_VARIABLE}) forbids downloads: leave offline mode, or "
                f"download the model on another computer and copy {self.path}."
            )
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

        try:
            path = hf_hub_download(
                self.repository,
                FILE,
                cache_dir=hub_folder(),
                endpoint=os.environ.get("HF_ENDPOINT"),
                tqdm_class=_reporting(self, progress),
            )
        except GatedRepoError as error:
            raise InputError(
                f"{self.title} needs your agreement to its licence: accept it at "
                f"{HUB}/{self.repository}, then set HF_TOKEN to a token of your account."
            ) from error
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise InputError(f"{self.download_text}, but {_problem(error, self.url)}") from error
        return Path(path)


def _problem(error: BaseException, url: str) -> str:
    """Return the rest of a sentence on a failed download, and the details in a second line."""
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError

    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    if any(isinstance(cause, FileMetadataError) for cause in causes):
        return f"{WEB_PAGE}.\n{url} was requested."
    answers = [cause for cause in causes if isinstance(cause, HfHubHTTPError)]
    status = next((answer.response.status_code for answer in answers), None)
    if status in (401, 403):
        return (
            f"{REFUSED}.\nThe answer to {url} was {status}: accept the licence of "
            "the model on its page, if it has one, and check the token in HF_TOKEN and the proxy."
        )
    if status is not None:
        return f"{FAILED}.\nThe answer to {url} was {status}: try again later."
    return (
        f"{NO_CONNECTION}.\n{url} cannot be reached ({error}): check the connection and try "
        "again, which resumes the download."
    )


def hub_folder() -> Path:
    """Return the folder of files from the Hub in the cache folder."""
    return cache_folder() / "hub"


def _reporting(weights: PublishedFile, progress: DownloadProgress | None) -> type[Any]:
    """Return a progress bar class for the Hub's client that calls a progress callback."""
    from tqdm import tqdm

    class Reporting(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            # A disabled bar does not count.
            super().__init__(*args, **(options | {"disable": False, "file": _Nowhere()}))

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if progress:
                progress(int(self.n), int(self.total or weights.size or 0), weights.name)
            return shown

    return Reporting


class _Nowhere:
    """Text stream that discards everything."""

    def write(self, _: str) -> None: ...

    def flush(self) -> None: ...
