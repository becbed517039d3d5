"""References of a session: what a run takes, but the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import AnnotationKind, Reference


@dataclass(frozen=True, eq=False)
class StoredReference:
    """A reference without its image, which the stack has.

    Attributes
    ----------
    mask : ndarray, shape (Y, X), float32
        In 0..1.
    class_id : int
    kind : {"point", "scribble", "box", "mask"}
    frame : int
        Index of the annotated frame.
    ignored : ndarray of bool, shape (Y, X), optional
    """

    mask: NDArray[np.float32]
    class_id: int
    kind: AnnotationKind
    frame: int
    ignored: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, reference: Reference) -> StoredReference:
        """What is to be kept of a reference that lies on a stack."""
        assert reference.frame is not None
        masks = reference.mask, reference.class_id, reference.kind, reference.frame
        return cls(*masks, reference.ignored)

    def on(self, image: NDArray[Any]) -> Reference:
        """The reference on its frame, shape (Y, X, C)."""
        return Reference(image, self.mask, self.class_id, self.kind, self.frame, self.ignored)


def write_references(folder: Path, references: Sequence[StoredReference]) -> list[dict[str, Any]]:
    """Write masks into a folder; return what is to be remembered of each."""
    folder.mkdir()
    entries = []
    for number, reference in enumerate(references):
        name = f"{number:04}.npz"
        binary = np.isin(reference.mask, (0, 1)).all()
        arrays: dict[str, Any] = {"mask": reference.mask.astype(bool) if binary else reference.mask}
        if reference.ignored is not None:
            arrays["ignored"] = np.asarray(reference.ignored, dtype=bool)
        np.savez_compressed(folder / name, **arrays)
        entries.append(
            {
                "file": name,
                "frame": reference.frame,
                "class": reference.class_id,
                "kind": reference.kind,
            }
        )
    return entries


def read_references(folder: Path, entries: Sequence[Mapping[str, Any]]) -> list[StoredReference]:
    """Read what `write_references` wrote."""
    references = []
    for entry in entries:
        arrays = _read_arrays(folder / Path(entry["file"]).name)
        mask, kind = arrays["mask"].astype(np.float32), entry["kind"]
        where = int(entry["class"]), kind, int(entry["frame"])
        references.append(StoredReference(mask, *where, arrays.get("ignored")))
    return references


def write_frames(path: Path, frames: Mapping[int, NDArray[Any]]) -> None:
    """Write labels of a few frames by their index."""
    arrays: dict[str, Any] = {str(index): labels for index, labels in frames.items()}
    np.savez_compressed(path, **arrays)


def read_frames(path: Path) -> dict[int, NDArray[Any]]:
    """Read what `write_frames` wrote."""
    return {int(index): labels for index, labels in _read_arrays(path).items()}


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    # Given a path, NumPy would leave damaged files open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
