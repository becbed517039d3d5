# The public API, read both by type checkers and, at run time, by `__init__`.
from .annotations.reference import Reference as Reference
from .errors import InputError as InputError
from .fine_tuning.api import fine_tune as fine_tune
from .inference.comparison.api import compare_models as compare_models
from .inference.exporting import export_labels as export_labels
from .inference.objects.find import objects_from_labels as objects_from_labels
from .inference.segment import segment_stack as segment_stack
from .inference.segmentation import Segmentation as Segmentation
from .inference.segmenter import Segmenter as Segmenter
from .io.images.opening import open_image as open_image
from .io.metadata import ImageMetadata as ImageMetadata
from .models.zoo.registry import load_model as load_model

__version__: str
