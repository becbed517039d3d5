"""Videos, read frame by frame with PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.images.sequential import SequentialStack
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv",
    ".ts", ".mts", ".3gp", ".y4m",
)  # fmt: skip
MAGIC = (
    b"\x1a\x45\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV\1", b"OggS", b"0&\xb2u", b"YUV4MPEG2",
)  # fmt: skip
STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"crx ", b"jp2 ", b"jpx ")
SKIPPED_FRAMES = 50
"""Number of frames up to which decoding all of them is faster than to seek."""


def _recognises(_path: Path, head: bytes) -> bool:
    if head[4:8] == b"ftyp":
        return head[8:12] not in STILL_BRANDS
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no video")
        stream = container.streams.video[0]
        times = _frame_times(container, stream)
        rate = stream.average_rate
    with av.open(str(path)) as container:
        # The first frame has the size that later ones are scaled to, and decides on colours.
        first = next(container.decode(video=0))
    is_gray = first.format.name.startswith("gray")
    shape = (first.height, first.width) if is_gray else (first.height, first.width, 3)
    decode = partial(_Decoder, times=times, shape=shape)
    data = SequentialStack(path, decode, (len(times), *shape), np.dtype(np.uint8))
    metadata = (
        ImageMetadata(pixel_size={"T": float(1 / rate)}, units={"T": "second"})
        if rate
        else ImageMetadata()
    )
    return StoredImage(data, "TYX" if is_gray else "TYXS", metadata)


def _frame_times(container: Any, stream: Any) -> list[int | None]:
    """Return the time stamp of each frame in its order; None for all if they are not reliable.

    The number of frames that the container states is often missing or wrong.
    """
    times = [packet.pts for packet in container.demux(stream) if packet.size]
    # AVI counts frames in the order in which they are decoded.
    if container.format.name != "avi" and None not in times and len(set(times)) == len(times):
        return sorted(times)
    return [None] * len(times)


class _Decoder:
    """Open video."""

    def __init__(self, path: Path, *, times: list[int | None], shape: tuple[int, ...]) -> None:
        self._path = path
        self._times = times
        self._shape = shape
        self._next = 0
        self._container: Any = None
        self._last: tuple[int, NDArray[Any]] | None = None
        self._frames: Iterator[Any] = iter(())
        self._restart()

    def read(self, index: int) -> NDArray[Any]:
        """Decode a frame, after those that it depends on."""
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        time = self._times[index]
        jump = index < self._next or index > self._next + SKIPPED_FRAMES
        frame = self._seek(time) if jump and time is not None else None
        if frame is None:
            frame = self._decode_on(index)
        self._next = index + 1
        height, width = self._shape[:2]
        kind = "gray" if len(self._shape) == 2 else "rgb24"
        pixels: NDArray[Any] = frame.to_ndarray(format=kind, width=width, height=height)
        self._last = index, pixels
        return pixels

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _seek(self, time: int) -> Any | None:
        """Return the frame at a time; None if the file does not permit to seek exactly."""
        stream = self._container.streams.video[0]
        self._container.seek(time, stream=stream)
        frames = self._container.decode(stream)
        frame = next(frames, None)
        while frame is not None and frame.pts is not None and frame.pts < time:
            frame = next(frames, None)
        if frame is None or frame.pts != time:
            self._restart()
            return None
        self._frames = frames
        return frame

    def _decode_on(self, index: int) -> Any:
        if index < self._next:
            self._restart()
        for _ in range(self._next, index):
            next(self._frames, None)
        frame = next(self._frames, None)
        if frame is None:
            raise ValueError(f"it ends before frame {index}")
        return frame

    def _restart(self) -> None:
        import av

        if self._container is not None:
            self._container.close()
        self._container = av.open(str(self._path))
        self._frames = self._container.decode(video=0)
        self._next = 0


READER = ImageReader("video (MP4, MOV, AVI, MKV, WebM)", "PyAV", SUFFIXES, _recognises, _open)
