"""Kinds of files that are fuzzed: valid seeds, their mutation, and what reads them."""

from __future__ import annotations

import json
import random
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.mutators import dumped, mutated_bytes, mutated_json

MOST_PIXELS = 1 << 24
"""Larger frames are opened but not read, as by a user who looks at their size first."""

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 255, (3, 32, 40), dtype=np.uint8)


@dataclass(frozen=True)
class Target:
    """Kind of file.

    Attributes
    ----------
    seeds : callable
        Writes valid files or folders into a folder, and returns their paths.
    read : callable
        Reads one of them.
    """

    seeds: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]


def mutate(path: Path, rng: random.Random) -> None:
    """Change a file, or one or two of the files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if path.is_dir():
        described = [p for p in files if p.suffix == ".json" or p.name.startswith(".z")]
        files = rng.sample(described if described and rng.random() < 0.7 else files, 1)
    for file in files:
        file.write_bytes(_mutated(file, rng))


def _mutated(file: Path, rng: random.Random) -> bytes:
    content = file.read_bytes()
    if rng.random() < 0.25:
        return mutated_bytes(content, rng)
    if content[:1] in (b"{", b"["):
        return dumped(mutated_json(json.loads(content), rng))
    if file.suffix in (".safetensors", ".vrpsam"):
        return _mutated_safetensors(content, rng)
    return mutated_bytes(content, rng)


def _mutated_safetensors(content: bytes, rng: random.Random) -> bytes:
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    described = header.get("__metadata__", {})
    if "segmenter" in described and rng.random() < 0.6:
        described["segmenter"] = dumped(
            mutated_json(json.loads(described["segmenter"]), rng)
        ).decode()
    else:
        header = mutated_json(header, rng)
    text = dumped(header)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def _pixels(stored: Any) -> None:
    data = stored.data
    # `Frames` refuses empty ones.
    if data.ndim >= 2 and 0 not in data.shape and np.prod(data.shape[-3:]) <= MOST_PIXELS:
        np.asarray(data[(0,) * max(0, data.ndim - 3)])


def _read_image(path: Path) -> None:
    from napari_vrp_sam.io.images.opening import image_names, open_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image_names(path)
        _pixels(open_image(path))


def _read_checkpoint(path: Path) -> None:
    from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
    from napari_vrp_sam.models.weights.headers import sam_variant

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sam_variant(path)
        read_checkpoint(path)


def _read_weights(path: Path) -> None:
    from napari_vrp_sam.models.zoo.user_model_file import check_model

    _read_checkpoint(path)
    check_model(path)


def _read_segmenter(path: Path) -> None:
    from napari_vrp_sam.inference.segmenter_file import read_segmenter

    read_segmenter(path)


def _read_session(path: Path) -> None:
    from napari_vrp_sam.io.sessions.image import open_image
    from napari_vrp_sam.io.sessions.session import read_session

    session = read_session(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        open_image(path, session.image)


def _read_annotations(path: Path) -> None:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.references.drawn import read_reference
    from napari_vrp_sam.inference.references.gather import gather_references

    frames = Frames(STACK, "ZYX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gather_references(frames, read_reference(path, frames), reference_frame=0)


def _checkpoints(folder: Path) -> list[Path]:
    import torch

    tensors = {
        "a.weight": torch.arange(12.0).reshape(3, 4),
        "a.bias": torch.zeros(3, dtype=torch.bfloat16),
        "image_encoder.blocks.0.mlp.lin1.weight": torch.ones(2, 2),
    }
    torch.save({"state_dict": tensors}, folder / "new.pth")
    torch.save(tensors, folder / "old.pt", _use_new_zipfile_serialization=False)
    return [folder / "new.pth", folder / "old.pt"]


def _safetensors(folder: Path) -> list[Path]:
    import safetensors.numpy

    arrays = {"a.weight": np.ones((3, 4), np.float32), "b": np.zeros(3, np.int64)}
    safetensors.numpy.save_file(arrays, folder / "a.safetensors", {"kind": "lite", "name": "a"})
    return [folder / "a.safetensors"]


def _job() -> Any:
    from napari_vrp_sam import Reference
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

    references = [Reference(STACK[1], STACK[1] > 99, 1, frame=1)]
    limits = Normalisation((0.0,), (255.0,))
    return SegmentationJob(None, references=references, model="lite", normalisation=limits)


def _segmenters(folder: Path) -> list[Path]:
    from napari_vrp_sam.inference.segmenter_file import write_segmenter

    write_segmenter(folder / "a.vrpsam", _job(), axes="ZYX", expected_iou={1: 0.5})
    return [folder / "a.vrpsam"]


def _sessions(folder: Path) -> list[Path]:
    from napari_vrp_sam.io.sessions.image import SessionImage
    from napari_vrp_sam.io.sessions.references import StoredReference
    from napari_vrp_sam.io.sessions.session import Session, SessionClass, write_session

    mask = (STACK[1] > 99).astype(np.float32)
    session = Session(
        SessionImage("cells", STACK.shape, "uint8", "ZYX"),
        references=[StoredReference(mask, 1, "mask", 1)],
        accepted={1: mask.astype(np.uint8)},
        classes=[SessionClass(1, "cell", "#ff0000")],
    )
    write_session(folder / "a.vrpsam", session, STACK)
    return [folder / "a.vrpsam"]


def _zarrs(folder: Path) -> list[Path]:
    import zarr

    paths = []
    for version in (2, 3):
        path = folder / f"a{version}.zarr"
        group = zarr.open_group(str(path), mode="w", zarr_format=version)
        array = group.create_array("0", shape=STACK.shape, chunks=(1, 32, 40), dtype="uint8")
        array[:] = STACK
        axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
        scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
        level = {"path": "0", "coordinateTransformations": scale}
        images = [{"axes": axes, "datasets": [level], "version": "0.4", "name": "a"}]
        omero = {"channels": [{"label": "dapi", "color": "ff0000"}]}
        content = {"multiscales": images, "omero": omero}
        group.attrs.update(content if version == 2 else {"ome": {"version": "0.5", **content}})
        paths.append(path)
    return paths


def _tiffs(folder: Path) -> list[Path]:
    import tifffile

    kinds: Mapping[str, Mapping[str, Any]] = {
        "plain": {},
        "ome": {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5}},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "um"}},
        "tiled": {"tile": (16, 16), "compression": "zlib", "bigtiff": True},
        "packed": {"compression": "packbits", "rowsperstrip": 8},
        "lzw": {"compression": "lzw", "predictor": True},
    }
    for name, settings in kinds.items():
        tifffile.imwrite(folder / f"{name}.tif", STACK, **{"photometric": "minisblack", **settings})
    return [folder / f"{name}.tif" for name in kinds]


RING = [[2, 2], [20, 2], [20, 15], [2, 15], [2, 2]]


def _geojson(folder: Path) -> list[Path]:
    shapes = [
        {"type": "Polygon", "coordinates": [RING, [[4, 4], [8, 4], [8, 8], [4, 4]]]},
        {"type": "MultiPolygon", "coordinates": [[RING]]},
        {"type": "Point", "coordinates": [5.5, 6.5]},
        {"type": "LineString", "coordinates": [[1, 1], [9, 9]]},
    ]
    named = {"objectType": "annotation", "classification": {"name": "cell", "color": [1, 2, 3]}}
    features = [
        {
            "type": "Feature",
            "id": n,
            "geometry": {**s, "plane": {"z": 1, "t": 0}},
            "properties": named,
        }
        for n, s in enumerate(shapes)
    ]
    path = folder / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return [path]


def _coco(folder: Path) -> list[Path]:
    from pycocotools import mask

    encoded = mask.encode(np.asfortranarray(STACK[1] > 99))
    runs = {"size": [32, 40], "counts": encoded["counts"].decode()}
    flat = {"size": [32, 40], "counts": [10, 20, 1250]}
    corners = [float(v) for point in RING for v in point]
    shapes: list[dict[str, Any]] = [
        {"segmentation": [corners]},
        {"segmentation": runs, "iscrowd": 1},
        {"segmentation": flat},
        {"bbox": [1, 2, 10, 10]},
    ]
    entries = [{"id": n, "image_id": 1, "category_id": 1, **s} for n, s in enumerate(shapes)]
    image = {"id": 1, "width": 40, "height": 32, "file_name": "a.png"}
    content = {
        "images": [image],
        "annotations": entries,
        "categories": [{"id": 1, "name": "cell", "supercategory": ""}],
    }
    path = folder / "a.json"
    path.write_text(json.dumps(content))
    return [path]


def _other_annotations(folder: Path) -> list[Path]:
    import roifile

    labels = (STACK > 99).astype(np.uint8)
    np.save(folder / "a.npy", labels)
    np.savez(folder / "a.npz", masks=labels)
    stored = np.array({"masks": labels[0].astype(np.uint16), "filename": "a.tif"}, dtype=object)
    np.save(folder / "a_seg.npy", stored, allow_pickle=True)
    roifile.ImagejRoi.frompoints(np.array(RING, np.float32)).tofile(folder / "a.roi")
    rows = ["x,y,z,class", "3,4,0,cell", "7,9,1,cell"]
    (folder / "a.csv").write_text("\n".join(rows))
    shape = {"label": "cell", "points": RING, "shape_type": "polygon", "group_id": None}
    content = {"version": "5", "imagePath": "a.png", "imageHeight": 32, "imageWidth": 40}
    (folder / "labelme.json").write_text(json.dumps({**content, "shapes": [shape]}))
    names = ("a.npy", "a.npz", "a_seg.npy", "a.roi", "a.csv", "labelme.json")
    return [folder / name for name in names]


TARGETS = {
    "checkpoint .pth": Target(_checkpoints, _read_checkpoint),
    "checkpoint .safetensors": Target(_safetensors, _read_weights),
    "session": Target(_sessions, _read_session),
    "segmenter": Target(_segmenters, _read_segmenter),
    "OME-Zarr": Target(_zarrs, _read_image),
    "TIFF": Target(_tiffs, _read_image),
    "GeoJSON": Target(_geojson, _read_annotations),
    "COCO": Target(_coco, _read_annotations),
    "other annotations": Target(_other_annotations, _read_annotations),
}
