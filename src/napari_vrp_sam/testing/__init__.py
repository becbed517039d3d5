"""Property tests of programs that use napari-vrp-sam: Hypothesis strategies, and a quick model.

Install the extra `testing`, which brings Hypothesis: ``pip install "napari-vrp-sam[testing]"``.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError(
        "napari_vrp_sam.testing needs Hypothesis: install it with "
        'pip install "napari-vrp-sam[testing]".'
    )

from napari_vrp_sam.testing.containers import CONTAINERS, StoredStack, can_hold, containers, store
from napari_vrp_sam.testing.drawings import DrawnShape, drawn_shapes
from napari_vrp_sam.testing.pixel_model import PixelModel
from napari_vrp_sam.testing.stacks import StackExample, axes_orders, dtypes, stacks
from napari_vrp_sam.testing.transforms import layer_transforms

__all__ = [
    "CONTAINERS",
    "DrawnShape",
    "PixelModel",
    "StackExample",
    "StoredStack",
    "axes_orders",
    "can_hold",
    "containers",
    "drawn_shapes",
    "dtypes",
    "layer_transforms",
    "stacks",
    "store",
]
