"""JSON files: the format is recognised by their keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import StoredAnnotations
from napari_vrp_sam.io.references.readers.coco import is_coco, read_coco
from napari_vrp_sam.io.references.readers.geojson import is_geojson, read_geojson
from napari_vrp_sam.io.references.readers.labelme import is_labelme, read_labelme
from napari_vrp_sam.io.references.readers.labkit import is_labkit, read_labkit
from napari_vrp_sam.io.references.reading import AnnotationReader, Request

SUFFIXES = (".json", ".geojson", ".labeling")


class JsonFormat(NamedTuple):
    """Format of JSON files; its functions get the parsed content."""

    name: str
    recognises: Callable[[Any], bool]
    read: Callable[[Any, Request], StoredAnnotations]


FORMATS = (
    JsonFormat("COCO", is_coco, read_coco),
    JsonFormat("GeoJSON", is_geojson, read_geojson),
    JsonFormat("Labelme", is_labelme, read_labelme),
    JsonFormat("Labkit", is_labkit, read_labkit),
)


def _read(request: Request) -> StoredAnnotations:
    content = json.loads(request.path.read_text("utf-8-sig"))
    for known in FORMATS:
        if known.recognises(content):
            return known.read(content, request)
    raise InputError(
        f"{request.path} is not a known kind of JSON: supported are "
        f"{', '.join(known.name for known in FORMATS)}."
    )


def _recognises(path: Path, head: bytes) -> bool:
    return path.suffix.lower() in SUFFIXES and head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (
        b"{",
        b"[",
    )


READER = AnnotationReader("JSON", "json (standard library)", _recognises, _read)
