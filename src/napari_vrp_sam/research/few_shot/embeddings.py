"""Disk cache of SAM's embeddings of the training images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import LockedError, atomic, lock
from napari_vrp_sam.research.datasets.few_shot_sets import Progress

PER_SHARD = 64
"""Number of embeddings per file; those of SAM take 128 MiB."""

OPEN_SHARDS = 64
"""Number of files that a process keeps open."""


class EmbeddingCache:
    """Image embeddings in bfloat16, in shards that several processes can fill concurrently.

    All runs on a dataset share one cache and fill the shards that they need. Images that the same
    folds are trained on are stored together.

    Parameters
    ----------
    folder : Path
        Folder of all caches; each has a subfolder named after dataset, weights and images.
    name : str
        Name of the dataset.
    weights : str
        Digest of the image encoder, see `module_digest`.
    groups : sequence of sequence of str
        Ids of all images of the dataset, in groups that are needed together.
    needed : collection of str, optional
        Ids of the images that this run needs; default: all.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        weights: str,
        groups: Sequence[Sequence[str]],
        needed: Collection[str] | None = None,
    ) -> None:
        self._shards = [
            tuple(group[at : at + PER_SHARD])
            for group in groups
            for at in range(0, len(group), PER_SHARD)
        ]
        listed = hashlib.sha256("\n\n".join(map("\n".join, self._shards)).encode()).hexdigest()
        self.folder = folder / f"{name}-{weights[:16]}-{listed[:8]}"
        self._shard_of = {i: n for n, shard in enumerate(self._shards) for i in shard}
        ids = self._shard_of if needed is None else needed
        self._needed = sorted({self._shard_of[image_id] for image_id in ids})

    def __getitem__(self, image_id: str) -> Tensor:
        """Read the embedding of an image, shape (D, h, w), bfloat16."""
        embedding: Tensor = _opened(self._file(self._shard_of[image_id])).get_tensor(image_id)
        return embedding

    def missing(self) -> list[int]:
        """Return the indices of the needed shards that do not exist yet."""
        return [shard for shard in self._needed if not self._file(shard).exists()]

    def fill(self, encode: Callable[[str], Tensor], progress: Progress | None = None) -> None:
        """Compute the missing shards.

        Parameters
        ----------
        encode : callable
            Maps an image id to its embedding, shape (D, h, w).
        progress : callable, optional
            Called with a message for each image.

        Raises
        ------
        InputError
            If an image cannot be read, or the cache cannot be written.
        """
        # Skip shards that other processes compute, and wait for those only at the end.
        for wait in (False, True):
            for shard in self.missing():
                try:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    with lock(self.folder / f"{shard}.lock", wait=wait):
                        if not self._file(shard).exists():
                            self._write(shard, encode, progress)
                except LockedError:
                    continue
                except OSError as error:
                    raise InputError(f"{self.folder} cannot be written: {error}.") from error

    def _write(
        self, shard: int, encode: Callable[[str], Tensor], progress: Progress | None
    ) -> None:
        before = self._needed.index(shard)
        first = 1 + sum(len(self._shards[n]) for n in self._needed[:before])
        total = sum(len(self._shards[n]) for n in self._needed)
        embeddings = {}
        for number, image_id in enumerate(self._shards[shard], start=first):
            if progress:
                progress(f"Encoding image {number} of {total} with SAM")
            embeddings[image_id] = encode(image_id).to(torch.bfloat16).cpu().contiguous()
        with atomic(self._file(shard)) as path:
            safetensors.torch.save_file(embeddings, path)

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05}.safetensors"


@lru_cache(maxsize=OPEN_SHARDS)
def _opened(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="pt")
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is damaged: delete it, and it will be computed again.") from error


def module_digest(module: nn.Module) -> str:
    """Compute the hexadecimal SHA-256 of all tensors of a module."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return total.hexdigest()
