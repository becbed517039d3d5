"""Open every picture in the test data of installed packages, and in folders of your choice.

Each file must open as a stack, or be refused in one sentence (an `InputError`). Anything else is a
fault: another exception, a warning of a library, messages on stderr, a frame that cannot be read,
or axes that do not fit the shape.

    python benchmarks/read_sweep.py [FOLDER ...] [--list]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.images.opening import find_reader, image_names, open_image, readers

PACKAGES = (
    "PIL", "imageio", "tifffile", "rasterio", "skimage", "nibabel", "stardist", "sklearn", "scipy",
    "h5py", "pyogrio", "napari", "mrcfile", "nrrd", "zarr", "ome_zarr",
)  # fmt: skip
MORE_SUFFIXES = (
    ".dcm", ".pdf", ".eps", ".mat", ".psd", ".ico", ".tga", ".dds", ".sgi", ".ras", ".pcx", ".xbm",
    ".xpm", ".icns", ".fits", ".fli", ".flc", ".im", ".mpo", ".cur", ".wmf", ".qoi", ".hdr", ".raw",
)  # fmt: skip
SLOW = 20.0
"""Seconds after which a file is reported."""


def pictures(roots: list[Path]) -> Iterator[Path]:
    """Yield the files whose suffix is one of a reader, and Zarr folders."""
    suffixes = (*(suffix for reader in readers() for suffix in reader.suffixes), *MORE_SUFFIXES)
    for root in roots:
        for path in sorted(root.rglob("*")):
            inside_zarr = any(parent.suffix == ".zarr" for parent in path.parents)
            if path.name.lower().endswith(suffixes) and not inside_zarr:
                yield path


def fault(path: Path) -> tuple[str, str]:
    """Return ("opened" | "refused" | "fault", details) of a file."""
    logged, printed = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(logged)
    logging.getLogger().addHandler(handler)
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(printed):
            warnings.simplefilter("always")
            verdict = open_and_read(path)
    except InputError as error:
        sentence = str(error)
        verdict = ("refused" if is_one_sentence(sentence) else "fault", sentence)
    except Exception as error:  # that is what is looked for
        verdict = ("fault", f"{type(error).__name__}: {error}")
    finally:
        logging.getLogger().removeHandler(handler)
    foreign = [str(w.message) for w in caught if w.category is not UserWarning or is_foreign(w)]
    noise = logged.getvalue() + printed.getvalue()
    if foreign or noise:
        return "fault", f"warnings: {foreign} {noise.strip()}"
    if time.perf_counter() - start > SLOW:
        return "fault", f"took {time.perf_counter() - start:.0f} s"
    return verdict


def open_and_read(path: Path) -> tuple[str, str]:
    """Open the main image, and read its first and last frame."""
    stored = open_image(path)
    names = image_names(path)
    shape = tuple(stored.data.shape)
    if stored.axes is not None and len(stored.axes) != len(shape):
        return "fault", f"axes {stored.axes} of shape {shape}"
    try:
        frames = Frames(stored.data, stored.axes)
    except InputError as error:  # small icons, complex numbers, six axes: the run refuses them
        return "refused", str(error)
    for index in (0, len(frames) - 1):
        frame = np.asanyarray(frames[index])
        if frame.shape[:2] != frames.frame_shape:
            return "fault", f"frame {index} has the shape {frame.shape}, not {frames.frame_shape}"
    many = f", {len(names)} images" if len(names) > 1 else ""
    return "opened", f"{find_reader(path).library}: {stored.axes} {shape} {stored.data.dtype}{many}"


def is_one_sentence(text: str) -> bool:
    """Return whether a message is one line of reasonable length."""
    return "\n" not in text and len(text) < 600 and text.endswith(".")


def is_foreign(warning: warnings.WarningMessage) -> bool:
    """Return whether a warning comes from a library, not from the readers."""
    return not any(word in str(warning.message) for word in ("holds", "lacks", "belong to"))


def main() -> None:
    """Print the numbers of files that open or are refused, and each fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--list", action="store_true", help="print every file")
    given = parser.parse_args()
    site = Path(sysconfig.get_paths()["purelib"])
    roots = [*(site / name for name in PACKAGES if (site / name).is_dir()), *given.folders]
    counts: Counter[str] = Counter()
    for path in pictures(roots):
        verdict, details = fault(path)
        counts[verdict] += 1
        if given.list or verdict == "fault":
            print(f"{verdict:8} {path}: {details}", flush=True)
    print(", ".join(f"{counts[key]} {key}" for key in ("opened", "refused", "fault")))
    sys.exit(1 if counts["fault"] else 0)


if __name__ == "__main__":
    main()
