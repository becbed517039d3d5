"""References and accepted frames of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import AnnotationKind, Reference

PIXELS = "ignored", "negative"
"""Optional masks of a reference, in the order of its fields."""


@dataclass(frozen=True, eq=False)
class StoredReference:
    """Reference without its image, which is a frame of the stack.

    Attributes
    ----------
    mask : ndarray, shape (Y, X), float32
        Annotation, 0..1.
    class_id : int
    kind : {"point", "scribble", "partial", "box", "mask"}
    frame : int
        Index of the annotated frame.
    ignored : ndarray of bool, shape (Y, X), optional
        Pixels of unknown class.
    negative : ndarray of bool, shape (Y, X), optional
        Pixels that certainly do not belong to the class.
    """

    mask: NDArray[np.float32]
    class_id: int
    kind: AnnotationKind
    frame: int
    ignored: NDArray[np.bool_] | None = None
    negative: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, reference: Reference) -> StoredReference:
        """Return a reference to a frame of the stack without its image."""
        assert reference.frame is not None
        return cls(
            reference.mask,
            reference.class_id,
            reference.kind,
            reference.frame,
            reference.ignored,
            reference.negative,
        )

    def on(self, image: NDArray[Any]) -> Reference:
        """Return the reference with the image of its frame, shape (Y, X, C)."""
        return Reference(
            image,
            self.mask,
            self.class_id,
            self.kind,
            self.frame,
            self.ignored,
            self.negative,
        )


def write_references(folder: Path, references: Sequence[StoredReference]) -> list[dict[str, Any]]:
    """Write masks into a new folder, and return the other properties of each reference as JSON."""
    folder.mkdir()
    entries = []
    for number, reference in enumerate(references):
        name = f"{number:04}.npz"
        binary = np.isin(reference.mask, (0, 1)).all()
        arrays: dict[str, Any] = {"mask": reference.mask.astype(bool) if binary else reference.mask}
        for pixels in PIXELS:
            if getattr(reference, pixels) is not None:
                arrays[pixels] = np.asarray(getattr(reference, pixels), dtype=bool)
        np.savez_compressed(folder / name, **arrays)
        properties = {"class": reference.class_id, "kind": reference.kind}
        entries.append({"file": name, "frame": reference.frame, **properties})
    return entries


def read_references(folder: Path, entries: Sequence[Mapping[str, Any]]) -> list[StoredReference]:
    """Read the references that `write_references` wrote."""
    references = []
    for entry in entries:
        arrays = _read_arrays(folder / Path(entry["file"]).name)
        mask, class_id, frame = arrays["mask"].astype(np.float32), entry["class"], entry["frame"]
        references.append(
            StoredReference(
                mask,
                int(class_id),
                entry["kind"],
                int(frame),
                arrays.get("ignored"),
                arrays.get("negative"),
            )
        )
    return references


def write_frames(path: Path, frames: Mapping[int, NDArray[Any]]) -> None:
    """Write the labels of some frames by their indices."""
    arrays: dict[str, Any] = {str(index): labels for index, labels in frames.items()}
    np.savez_compressed(path, **arrays)


def read_frames(path: Path) -> dict[int, NDArray[Any]]:
    """Read the labels that `write_frames` wrote."""
    return {int(index): labels for index, labels in _read_arrays(path).items()}


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    # Given a path instead of a file, NumPy leaves damaged files open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
