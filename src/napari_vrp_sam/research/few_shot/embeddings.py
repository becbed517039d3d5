"""SAM's image embeddings of the training images, on disk: each is computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.research.datasets.few_shot_sets import Progress

PER_SHARD = 64
"""Embeddings of a file: 128 MiB of SAM's."""

OPEN_SHARDS = 64
"""Files that a process keeps open."""


class EmbeddingCache:
    """Image embeddings in bfloat16, sharded; several processes and machines may fill it together.

    All runs on a data set share one cache, each filling the shards that it needs: images that the
    same folds learn from lie together.

    Parameters
    ----------
    folder : Path
        Of all caches; each has one of its own there, named after data, weights and images.
    name : str
        Of the data.
    weights : str
        Digest of the image encoder, see `digest`: another one has another cache.
    groups : sequence of sequence of str
        Ids of all images of the data; those that are needed together in a group.
    needed : collection of str, optional
        Ids of the images that this run asks for; all unless given.
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
        wanted = self._shard_of if needed is None else needed
        self._needed = sorted({self._shard_of[image_id] for image_id in wanted})

    def __getitem__(self, image_id: str) -> Tensor:
        """The embedding of an image, shape (D, h, w), bfloat16."""
        embedding: Tensor = _opened(self._file(self._shard_of[image_id])).get_tensor(image_id)
        return embedding

    def missing(self) -> list[int]:
        """Numbers of the shards that are not there yet."""
        return [shard for shard in self._needed if not self._file(shard).exists()]

    def fill(self, encode: Callable[[str], Tensor], progress: Progress | None = None) -> None:
        """Compute what is missing, beside whoever else does.

        Parameters
        ----------
        encode : callable
            From an image's id to its embedding, shape (D, h, w).
        progress : callable, optional
            Told how far it is.

        Raises
        ------
        InputError
            If an image cannot be read, or nothing can be written.
        """
        # What another process is at is left to it, until nothing else is missing.
        for patience in (0, -1):
            for shard in self.missing():
                try:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    lock = FileLock(self.folder / f"{shard}.lock")
                    with lock.acquire(timeout=patience):
                        if not self._file(shard).exists():
                            self._write(shard, encode, progress)
                except Timeout:
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
                progress(f"SAM encodes image {number} of {total}, once for all runs")
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
        raise InputError(f"{path} is damaged: delete it, and it is made anew.") from error


def digest(module: nn.Module) -> str:
    """Hexadecimal sha256 of all tensors of a module."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return total.hexdigest()
