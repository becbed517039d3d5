"""Zarr arrays compressed with Blosc, with a check of each chunk before it is decompressed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import StorePath, WrapperStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

    Wrapper = WrapperStore[Store]
else:
    Wrapper = WrapperStore

HEADER = struct.Struct("<12xI")
"""Header of a Blosc chunk; the number is the length of the chunk with its header."""


class CheckedChunks(Wrapper):
    """Store of the chunks of one array, which refuses those that are shorter than they state.

    Blosc reads beyond the end of such a chunk: pixels would show other memory, and the interpreter
    may end.
    """

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the content of a chunk, None if it does not exist.

        Raises
        ------
        ValueError
            If the chunk is too short.
        """
        chunk = await super().get(key, prototype, byte_range)
        if chunk is not None and byte_range is None:
            length = len(chunk)
            start = chunk[: HEADER.size].to_bytes()
            if length < HEADER.size or length < HEADER.unpack(start)[0]:
                raise ValueError(f"the chunk {key} is damaged: its end is missing")
        return chunk


def checked(array: Any) -> Any:
    """Return an array whose chunks are checked, if they are compressed with Blosc alone."""
    metadata = array.metadata
    codecs = [metadata.compressor] if metadata.zarr_format == 2 else metadata.codecs
    if not any("blosc" in type(codec).__name__.lower() for codec in codecs):
        return array
    path = StorePath(CheckedChunks(array.store), array.path)
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=path))
