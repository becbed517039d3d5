"""Default output paths, and checks that outputs overwrite neither inputs nor each other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.earlier_files import earlier_files

Identity = tuple[int, int] | Path


def default_labels_path(image: Path) -> Path:
    """Return the default path of the labels of an image, beside it."""
    from napari_vrp_sam.io.images.frame_files import PICTURE_SUFFIXES, is_pattern
    from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import is_zarr

    if is_zarr(image):
        return image.with_name(f"{_stem(image)}_labels.zarr")
    if is_pattern(image):
        return image.resolve().parent.with_name(image.resolve().parent.name + "_labels")
    if image.is_dir():
        return image.resolve().with_name(image.resolve().name + "_labels")
    suffix = ".png" if image.suffix.lower() in PICTURE_SUFFIXES else ".tif"
    return image.with_name(f"{_stem(image)}_labels{suffix}")


def plan_files(
    images: Sequence[Path],
    folder: Path | None,
    inputs: Sequence[Path] = (),
    *,
    replace: bool = False,
) -> list[Path]:
    """Return the path of the labels of each image; check that they can be written.

    Parameters
    ----------
    images : sequence of Path
    folder : Path, optional
        Folder of the labels. Default: beside each image.
    inputs : sequence of Path
        Further files that must not be overwritten.
    replace : bool
        Whether labels may exist, because they are resumed or replaced.

    Raises
    ------
    InputError
        If there is no image, or labels would overwrite an input, each other, or existing files.
    """
    if not images:
        raise InputError("There is no image: give at least one file.")
    beside = [default_labels_path(image) for image in images]
    targets = beside if folder is None else [folder / path.name for path in beside]
    if twice := {path for path in targets if targets.count(path) > 1}:
        raise InputError(
            f"Several images would be written to {min(twice)}: rename them, or write the labels "
            "beside their images."
        )
    for target in targets:
        if target.exists() and not replace:
            raise InputError(
                f"{target} already exists: resume to skip finished images, or overwrite them."
            )
        check_outputs(target, [], [*images, *inputs], overwrite=True)
    return targets


def default_objects_path(labels: Path) -> Path:
    """Return the default path of the objects of class labels, beside them."""
    return labels.with_name(_stem(labels).removesuffix("_labels") + "_objects.tif")


def default_relabelled_path(probabilities: Path) -> Path:
    """Return the default path of labels from probabilities, beside them."""
    return probabilities.with_name(
        _stem(probabilities).removesuffix("_probabilities") + "_relabelled.tif"
    )


def frame_names(image: Path) -> list[str]:
    """Return the names of the frames of a folder, without suffix; empty for other images."""
    from napari_vrp_sam.io.images.stacks import frame_file_names

    return frame_file_names(image)


def same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file or folder."""
    return _identity(one) == _identity(other)


def check_outputs(
    output: Path,
    others: Sequence[Path],
    inputs: Sequence[Path],
    *,
    frame_files: Sequence[Path] = (),
    overwrite: bool,
    resume: bool = False,
) -> None:
    """Check that all results can be written, before the work starts.

    Parameters
    ----------
    output : Path
        File or folder of the labels.
    others : sequence of Path
        Other files to write.
    inputs : sequence of Path
        Files and folders that must not be overwritten.
    frame_files : sequence of Path
        Files to write to `output`, if it is a folder.
    overwrite : bool
        Replace earlier results.
    resume : bool
        Add to the labels of an interrupted run.

    Raises
    ------
    InputError
        If an input would be overwritten, two results share a file, a result already exists, or a
        path is not writable.
    """
    from napari_vrp_sam.io.labels.writers import is_incremental, is_zarr_output

    replaced = earlier_files(output) if frame_files and overwrite else ()
    _check_inputs([output, *others], [*frame_files, *replaced], inputs)
    _check_distinct([*(frame_files or [output]), *others])
    inside = frame_files[:1] or [output / "0"]
    for path in (output, *(inside if output.is_dir() else ()), *others):
        _check_writable(path)
    _check_free(output, folder=is_incremental(output), overwrite=overwrite or resume)
    for path in others:
        _check_free(path, folder=is_zarr_output(path), overwrite=overwrite)


def _check_inputs(paths: Iterable[Path], frames: Iterable[Path], inputs: Sequence[Path]) -> None:
    input_identities = {_identity(path) for path in _with_contents(inputs)}
    for path in (*paths, *frames):
        if _identity(path) in input_identities:
            raise InputError(f"{path} is an input: write the result to another path.")
    parents = {_identity(folder) for path in inputs for folder in path.resolve().parents}
    for path in paths:
        if _is_zarr_name(path) and _identity(path) in parents:
            raise InputError(f"{path} contains an input: write the result to another path.")
        _check_outside(path, inputs)


def _check_outside(path: Path, inputs: Sequence[Path]) -> None:
    """Allow results inside of an OME-Zarr image only among its label images."""
    from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import is_zarr
    from napari_vrp_sam.io.labels.ome_zarr import LABELS, image_of_labels

    around = {_identity(folder) for folder in path.absolute().parents}
    for image in inputs:
        if is_zarr(image) and _identity(image) in around and image_of_labels(path) is None:
            raise InputError(
                f"{path} is inside of {image}: write the result to another path, or to "
                f"{image / LABELS}/NAME."
            )


def _check_distinct(files: Sequence[Path]) -> None:
    seen: set[Identity] = set()
    resolved = {path.resolve() for path in files}
    for path in files:
        identity = _identity(path)
        if identity in seen or not resolved.isdisjoint(path.resolve().parents):
            raise InputError(
                f"{path} would be overwritten by another result: give each result, and each image "
                "of a folder, a different name."
            )
        seen.add(identity)


def _check_writable(path: Path) -> None:
    """Write a temporary file where a result will be written, and remove it again."""
    missing: list[Path] = []
    created: list[Path] = []
    for folder in path.absolute().parents:
        if os.path.lexists(folder):
            if not folder.is_dir():
                raise InputError(
                    f"{path} cannot be written, as {folder} is not a folder: choose another path."
                )
            break
        missing.append(folder)
    try:
        for folder in reversed(missing):
            folder.mkdir()
            created.append(folder)
        # Named like the temporary file of `files.atomic`: names may be too long.
        with tempfile.NamedTemporaryFile(
            suffix=path.suffix, prefix=f".{path.stem}-", dir=path.parent
        ):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written: {reason}; choose another path.") from error
    finally:
        for folder in reversed(created):
            with suppress(OSError):
                folder.rmdir()


def _check_free(path: Path, *, folder: bool, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} already exists: choose another path, or overwrite it.")
    if path.is_dir() != folder:
        kind = "folder" if path.is_dir() else "file"
        raise InputError(f"{path} is a {kind} and cannot be replaced: choose another path.")


def _with_contents(inputs: Collection[Path]) -> Iterator[Path]:
    """Yield the inputs, and the images in those that are folders or patterns."""
    from napari_vrp_sam.io.images.frame_files import files_with_images
    from napari_vrp_sam.io.images.stacks import is_picture_folder

    for path in inputs:
        yield path
        if is_picture_folder(path):
            yield from files_with_images(path)


def _identity(path: Path) -> Identity:
    """Return a key that is equal for links, and for names that differ in case where disks do so."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    # Some network drives report no inode on Windows.
    return (status.st_dev, status.st_ino) if status.st_ino else path.resolve()


def _stem(path: Path) -> str:
    """Return the file name without all suffixes of its format: exp.1 for exp.1.ome.tif."""
    from napari_vrp_sam.io.images.opening import image_suffixes

    known = image_suffixes()
    name = path.name
    while True:
        base, _, last = name.rpartition(".")
        if not base or f".{last.lower()}" not in known:
            return name
        name = base


def _is_zarr_name(path: Path) -> bool:
    from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import SUFFIX

    return path.suffix.lower() == SUFFIX
