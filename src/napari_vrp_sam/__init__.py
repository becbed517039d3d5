"""Segment a class on every frame of a stack after annotating it on one frame.

The public API is listed in `__init__.pyi` and imported on first use (SPEC 1 of Scientific Python):
`import napari_vrp_sam` alone loads neither torch nor napari.
Threads of torch wait without using the CPU (`OMP_WAIT_POLICY=PASSIVE`) if this package is imported
before torch and the environment does not say otherwise.
"""

import os

import lazy_loader

# Read when torch is imported. Threads that spin while waiting for each other use up CPU cores that
# other programs need: 107 s became 39 s beside another busy program.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
