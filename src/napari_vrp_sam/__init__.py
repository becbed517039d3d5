"""Segment a class on every frame of a stack after annotating it on one frame.

The public API is listed in `__init__.pyi` and imported on first use (SPEC 1 of Scientific Python):
`import napari_vrp_sam` alone loads neither torch nor napari, and `__version__` is read from the
metadata of the installed package on first use.
Threads of torch wait without using the CPU (`OMP_WAIT_POLICY=PASSIVE`) if this package is imported
before torch and the environment does not say otherwise.
"""

import os
from typing import Any

import lazy_loader

# Read when torch is imported. Threads that spin while waiting for each other use up CPU cores that
# other programs need: 107 s became 39 s beside another busy program.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _public_name(name)
    from importlib import metadata

    try:
        return metadata.version("napari-vrp-sam")
    except metadata.PackageNotFoundError:  # a copy of the files that was not installed
        return "0+unknown"
