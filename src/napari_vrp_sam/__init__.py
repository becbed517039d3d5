"""Segment a class on every frame of a stack after annotating it on one frame.

The public API is listed in `__init__.pyi` and imported on first use (SPEC 1 of Scientific Python):
`import napari_vrp_sam` alone loads neither torch nor napari.
"""

import lazy_loader

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
