"""What `vrp-sam segment` refuses to write over: its inputs, and one result with another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.earlier_files import earlier_files

if TYPE_CHECKING:
    from napari_vrp_sam.cli.segment.objects import ObjectOptions
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.output import RunOutput
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

    Identity = tuple[int, int] | Path


def check_outputs(
    output: RunOutput,
    job: SegmentationJob,
    view: Frames,
    inputs: Sequence[Path],
    *,
    wish: ObjectOptions | None = None,
    overwrite: bool,
) -> None:
    """Tell before the work that results cannot go where they should.

    Parameters
    ----------
    output : RunOutput
    job : SegmentationJob
    view : Frames
        Of its stack.
    inputs : sequence of Path
        Files and folders that are not to be written over.
    overwrite : bool
        Whether earlier results may be replaced.

    Raises
    ------
    InputError
        If an input would be written over, two results would share a file, something is there, or
        nothing can be written there.
    """
    beside = [output.probabilities, *((wish.labels, wish.table) if wish else ())]
    others = [path for path in beside if path is not None]
    frames = _frame_files(output, job, view) if output.in_folder else []
    replaced = earlier_files(output.labels) if output.in_folder and overwrite else ()
    _check_inputs([output.labels, *others], [*frames, *replaced], inputs)
    _check_distinct([*(frames or [output.labels]), *others])
    inside = frames[:1] or [output.labels / "0"]
    for path in (output.labels, *(inside if output.labels.is_dir() else ()), *others):
        _check_place(path)
    _check_free(
        output.labels,
        folder=output.in_folder or _is_zarr_name(output.labels),
        overwrite=overwrite or output.resume,
    )
    for path in others:
        _check_free(path, folder=False, overwrite=overwrite)


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder."""
    return _identity(one) == _identity(other)


def _frame_files(output: RunOutput, job: SegmentationJob, view: Frames) -> list[Path]:
    """Files of an output folder that the run writes."""
    from napari_vrp_sam.annotations.labels import class_ids_of, labels_dtype
    from napari_vrp_sam.inference.runs.segmentation_job import plan
    from napari_vrp_sam.io.labels.folder import folder_files

    files = folder_files(
        output.labels, view.label_shape, labels_dtype(class_ids_of(job.references)), output.names
    )
    return [files[index] for index in sorted({*plan(job)[1], *output.accepted})]


def _check_inputs(paths: Iterable[Path], frames: Iterable[Path], inputs: Sequence[Path]) -> None:
    given = {_identity(path) for path in _with_contents(inputs)}
    for path in (*paths, *frames):
        if _identity(path) in given:
            raise InputError(f"{path} is an input: write the result somewhere else.")
    around = {_identity(folder) for path in inputs for folder in path.resolve().parents}
    for path in paths:
        if _is_zarr_name(path) and _identity(path) in around:
            raise InputError(f"{path} holds an input: write the result somewhere else.")


def _check_distinct(files: Sequence[Path]) -> None:
    seen: set[Identity] = set()
    ends = {path.resolve() for path in files}
    for path in files:
        identity = _identity(path)
        if identity in seen or not ends.isdisjoint(path.resolve().parents):
            raise InputError(
                f"{path} would be written over by another result: give each result, and each image "
                "of a folder, a name of its own."
            )
        seen.add(identity)


def _check_place(path: Path) -> None:
    """Write a file where a result will be written, and take it away again."""
    missing: list[Path] = []
    made: list[Path] = []
    for folder in path.absolute().parents:
        if os.path.lexists(folder):
            if not folder.is_dir():
                raise InputError(
                    f"{path} cannot be written, as {folder} is no folder: choose another place."
                )
            break
        missing.append(folder)
    try:
        for folder in reversed(missing):
            folder.mkdir()
            made.append(folder)
        # Of the kind of name under which the result will be written at first.
        with tempfile.NamedTemporaryFile(
            suffix=path.suffix, prefix=f".{path.stem}-", dir=path.parent
        ):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written: {reason}; choose another place.") from error
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


def _check_free(path: Path, *, folder: bool, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} is there already: choose another, or add --overwrite.")
    if path.is_dir() != folder:
        kind = "folder" if path.is_dir() else "file"
        raise InputError(f"{path} is a {kind}, which the result cannot replace: choose another.")


def _with_contents(inputs: Collection[Path]) -> Iterator[Path]:
    """Inputs, and the pictures in those that are folders."""
    from napari_vrp_sam.io.images.frame_files import SUFFIXES
    from napari_vrp_sam.io.images.stacks import is_picture_folder

    for path in inputs:
        yield path
        if is_picture_folder(path):
            yield from (inside for inside in path.iterdir() if inside.suffix.lower() in SUFFIXES)


def _identity(path: Path) -> Identity:
    """Equal for one file under two names, as links and disks that ignore case give it."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    # Some network disks of Windows number nothing.
    return (status.st_dev, status.st_ino) if status.st_ino else path.resolve()


def _is_zarr_name(path: Path) -> bool:
    from napari_vrp_sam.io.images.ome_zarr import SUFFIX

    return path.suffix.lower() == SUFFIX
