"""Open every picture in the test data of installed packages, and in folders of your choice.

Each file must open as a stack, or be refused in one sentence (an `InputError`). Anything else is a
fault: another exception, a crash, more than 8 GB of address space, a warning of a library, messages
on stderr, a frame that cannot be read, or axes that do not fit the shape. Each file is read in a
process of its own. Folders of your choice may be unpacked sdists of Pillow, tifffile, imageio and
rasterio, whose test data the wheels lack:

    python benchmarks/read_sweep.py [FOLDER ...] [--list] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import multiprocessing
import platform
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
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
"""CPU seconds after which a file is reported."""
STUCK = 120.0
"""Seconds after which its process is ended."""
MEMORY = 8_000_000_000
"""Address space of a process in bytes."""


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
    start = time.process_time()
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
    if time.process_time() - start > SLOW:
        return "fault", f"took {time.process_time() - start:.0f} s"
    return verdict


def in_process(path: Path) -> tuple[str, str]:
    """Return `fault` of a file, from a process with limited memory."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else None)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_fault, args=(sender, path))
    process.start()
    sender.close()
    try:
        if receiver.poll(STUCK):
            found: tuple[str, str] = receiver.recv()
            return found
        return "fault", f"is not read after {STUCK:.0f} s"
    except EOFError:
        process.join()
        return "fault", f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()


def send_fault(sender: Connection, path: Path) -> None:
    """Send `fault` of a file."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sender.send(fault(path))


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
    parser.add_argument("--json", type=Path, help="file for the numbers")
    given = parser.parse_args()
    site = Path(sysconfig.get_paths()["purelib"])
    roots = [*(site / name for name in PACKAGES if (site / name).is_dir()), *given.folders]
    counts: Counter[str] = Counter()
    for path in pictures(roots):
        verdict, details = in_process(path)
        counts[verdict] += 1
        if given.list or verdict == "fault":
            print(f"{verdict:8} {path}: {details}", flush=True)
    print(", ".join(f"{counts[key]} {key}" for key in ("opened", "refused", "fault")))
    if given.json:
        folders = sorted(folder.name.rsplit("_", 1)[0] for folder in given.folders)
        result = {
            "folders": [*(name for name in PACKAGES if (site / name).is_dir()), *folders],
            **{key: counts[key] for key in ("opened", "refused", "fault")},
            "python": platform.python_version(),
        }
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(1 if counts["fault"] else 0)


if __name__ == "__main__":
    main()
