"""Annotation files of other formats are refused with the formats to use instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.io.references.conftest import references

from napari_vrp_sam.errors import InputError


@pytest.mark.parametrize(
    ("name", "content", "program"),
    [
        ("a.xml", "<annotation><object/></annotation>", "Pascal VOC"),
        ("a.xml", '<?xml version="1.0"?>\n<!-- x -->\n<annotations>\n</annotations>', "CVAT"),
        ("a.xml", '<?xml version="1.0"?><ASAP_Annotations></ASAP_Annotations>', "ASAP"),
        ("a.xml", '<Annotations MicronsPerPixel="0.5"></Annotations>', "Aperio ImageScope"),
        ("a.txt", "0 0.5 0.5 0.2 0.3\n1 .2 1 0.1 0.1\n", "YOLO"),
        ("a.txt", "12 0.1 0.1 0.3 0.1 0.3 1e-2", "YOLO"),
    ],
)
def test_other_formats(tmp_path: Path, name: str, content: str, program: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"annotation file of {program}, .* convert it to COCO"):
        references(tmp_path / name)


def test_points_in_a_text_file_are_not_taken_for_yolo(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("y x z\n10 20 1\n")
    assert len(references(tmp_path / "a.txt")) == 1
