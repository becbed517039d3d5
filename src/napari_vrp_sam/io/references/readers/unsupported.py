"""Annotation formats that are recognised only to be refused, with the formats to use instead."""

from __future__ import annotations

import re
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import StoredAnnotations
from napari_vrp_sam.io.references.reading import HEAD_SIZE, AnnotationReader, Request

XML_ROOTS = {
    b"annotation": "Pascal VOC",
    b"annotations": "CVAT",
    b"ASAP_Annotations": "ASAP",
    b"Annotations": "Aperio ImageScope",
}
"""Names of programs and data sets whose XML has a root element of this name."""
XML_ROOT = re.compile(rb"<(?![?!])(?:\w+:)?(\w+)[\s>/]")
NUMBER = rb"(?:[01](?:\.\d*)?|\.\d+)(?:e-\d+)?"
YOLO = re.compile(rb"(?=[^\r\n]*\.)\s*\d+(?:[ \t]+" + NUMBER + rb"){4,}[ \t]*(?:[\r\n]|$)")
"""A class and coordinates as fractions of the image, separated by spaces."""


def _format(path: Path, head: bytes) -> str | None:
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        root = XML_ROOT.search(head)
        return XML_ROOTS.get(root[1]) if root else None
    return "YOLO" if path.suffix.lower() == ".txt" and YOLO.match(head) else None


def _recognises(path: Path, head: bytes) -> bool:
    return _format(path, head) is not None


def _read(request: Request) -> StoredAnnotations:
    with request.path.open("rb") as file:
        name = _format(request.path, file.read(HEAD_SIZE))
    raise InputError(
        f"{request.path} is an annotation file of {name}, which is not read: convert it to COCO "
        "JSON, GeoJSON or a label image."
    )


READER = AnnotationReader("formats that are refused", "", _recognises, _read, priority=-1)
