"""The folder of one unfinished run."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic, exclusive, write_json
from napari_vrp_sam.io.sessions.image import SessionImage
from napari_vrp_sam.io.sessions.session import Session, read_session, write_session

RUN_FILE, SESSION, FRAMES, IMAGES = "run.json", "session", "frames", "references.npz"
RUNNING = "This run is in progress in another window."
_IMAGE = TypeAdapter(SessionImage)


class StoredFrame(NamedTuple):
    """Finished frame of a run.

    Attributes
    ----------
    labels : ndarray, shape (Y, X)
    confidence : float, optional
        Confidence of the frame, if an object was found.
    levels : tuple, optional
        Shape (K, Y, X) and data of the compressed probabilities.
    """

    labels: NDArray[Any]
    confidence: float | None = None
    levels: tuple[tuple[int, ...], bytes] | None = None


@dataclass(frozen=True)
class UnfinishedRun:
    """Folder of a run that has not ended.

    Attributes
    ----------
    folder : Path
    image : SessionImage
        The segmented image, with the fingerprints of its annotated frames.
    total : int
        Number of frames of the result.
    facts : mapping
        Further properties of the run; JSON values.
    """

    folder: Path
    image: SessionImage
    total: int
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> UnfinishedRun:
        """Read the description of a run; raises exceptions of any type if it is damaged."""
        content = json.loads((folder / RUN_FILE).read_text("utf-8"))
        image = _IMAGE.validate_python(content["image"], context={"folder": folder})
        return cls(folder, image, int(content["total"]), content["facts"])

    @property
    def indices(self) -> list[int]:
        """Indices of the finished frames."""
        return sorted(int(path.stem) for path in (self.folder / FRAMES).glob("[0-9]*.npz"))

    def save(self, session: Session, images: Sequence[NDArray[Any]] = ()) -> None:
        """Write the session to resume from, which makes this a run that is found again.

        Parameters
        ----------
        session : Session
        images : sequence of ndarray, shape (Y, X, C)
            Image of each reference, if the references show another stack.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        write_session(self.folder / SESSION, replace(session, image=self.image), None)
        if images:
            with atomic(self.folder / IMAGES) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, *images)
        content = {
            "image": _IMAGE.dump_python(self.image, mode="json", context={"folder": self.folder}),
            "total": self.total,
            "facts": self.facts,
        }
        write_json(self.folder / RUN_FILE, content)

    def session(self) -> Session:
        """Read the session to resume from.

        Raises
        ------
        InputError
            If it is damaged.
        """
        return read_session(self.folder / SESSION)

    def reference_images(self) -> list[NDArray[Any]]:
        """Read the images of the references, shape (Y, X, C); none if they are frames.

        Raises
        ------
        InputError
            If they are damaged.
        """
        path = self.folder / IMAGES
        if not path.exists():
            return []
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return list(arrays.values())
        except Exception as error:  # a damaged file raises exceptions of any type
            raise InputError(f"{path} is damaged: discard the unfinished run.") from error

    def add(self, index: int, frame: StoredFrame) -> int:
        """Write a finished frame atomically, and return the size of its file in bytes.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        # Compressed here, because levels are already compressed.
        labels = zlib.compress(np.ascontiguousarray(frame.labels).tobytes(), 1)
        arrays: dict[str, Any] = {
            "labels": np.frombuffer(labels, np.uint8),
            "frame": np.zeros((0, *frame.labels.shape), frame.labels.dtype),
        }
        if frame.confidence is not None:
            arrays["confidence"] = np.float64(frame.confidence)
        if frame.levels is not None:
            shape, data = frame.levels
            arrays |= {"shape": np.array(shape), "levels": np.frombuffer(data, np.uint8)}
        with atomic(self.folder / FRAMES / f"{index:06}.npz") as temporary:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
            return temporary.stat().st_size

    def frames(self) -> dict[int, StoredFrame]:
        """Read the finished frames by index; damaged files are left out."""
        found = {}
        for index in self.indices:
            with suppress(Exception):  # a damaged file raises exceptions of any type
                found[index] = _read_frame(self.folder / FRAMES / f"{index:06}.npz")
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run until its process ends.

        Raises
        ------
        InputError
            If another window has locked it.
        """
        with exclusive(self.folder, RUNNING):
            yield

    def discard(self) -> None:
        """Delete the run."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read_frame(path: Path) -> StoredFrame:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        levels = None
        if "levels" in arrays:
            levels = tuple(arrays["shape"].tolist()), arrays["levels"].tobytes()
        confidence = float(arrays["confidence"]) if "confidence" in arrays else None
        frame = arrays["frame"]
        flat = np.frombuffer(zlib.decompress(arrays["labels"].tobytes()), frame.dtype)
        return StoredFrame(flat.reshape(frame.shape[1:]).copy(), confidence, levels)
