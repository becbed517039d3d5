"""Formats of other libraries: the file is written by the library, and read back."""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.images.opening import image_names, open_image
from napari_vrp_sam.io.metadata import StoredImage

VOLUME = np.random.default_rng(0).integers(0, 60000, (3, 20, 30), dtype=np.uint16)
FLOATS = (VOLUME / 7).astype(np.float32)


def check(stored: StoredImage, axes: str | None, expected: np.ndarray) -> None:
    """Check pixels, also after the image went to another process."""
    assert (stored.axes, stored.data.shape) == (axes, expected.shape)
    assert stored.data.dtype == expected.dtype
    sent = pickle.loads(pickle.dumps(stored))
    for data in (stored.data, sent.data):
        np.testing.assert_array_equal(np.asarray(data), expected)
        np.testing.assert_array_equal(data[-1], expected[-1])
        np.testing.assert_array_equal(data[1:, ..., 2:9], expected[1:, ..., 2:9])
    frames = Frames(stored.data, stored.axes)
    first = expected[(0,) * len(frames.lead_shape)]
    np.testing.assert_array_equal(frames[0].squeeze(), first)


def write_nifti(path: Path, volume: np.ndarray) -> None:
    import nibabel

    image = nibabel.Nifti1Image(volume.T, np.diag([0.2, 0.2, 0.5, 1]))
    image.header.set_xyzt_units("micron", "sec")
    nibabel.save(image, path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti(tmp_path: Path, name: str) -> None:
    write_nifti(tmp_path / name, VOLUME)
    stored = open_image(tmp_path / name)
    check(stored, "ZYX", VOLUME)
    assert dict(stored.metadata.units) == dict.fromkeys("ZYX", "micrometer")
    np.testing.assert_allclose([stored.metadata.pixel_size[a] for a in "ZYX"], [0.5, 0.2, 0.2])


def test_nifti_of_several_times(tmp_path: Path) -> None:
    import nibabel

    series = np.stack([VOLUME, VOLUME[::-1]])
    nibabel.save(nibabel.Nifti1Image(series.T, np.eye(4)), tmp_path / "a.nii")
    check(open_image(tmp_path / "a.nii"), "TZYX", series)


def test_nifti_with_scaled_intensities(tmp_path: Path) -> None:
    import nibabel

    image = nibabel.Nifti1Image(FLOATS.T, np.eye(4))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii")
    stored = open_image(tmp_path / "a.nii")
    assert stored.data.dtype == np.float32
    np.testing.assert_allclose(np.asarray(stored.data), FLOATS, atol=0.2)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
def test_nrrd(tmp_path: Path, encoding: str, name: str) -> None:
    import nrrd

    header = {
        "encoding": encoding,
        "space directions": np.diag([0.2, 0.2, 0.5]),
        "space dimension": 3,
        "space units": ["um", "um", "um"],
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(tmp_path / name), VOLUME, header, index_order="C")
    stored = open_image(tmp_path / name)
    check(stored, "ZYX", VOLUME)
    assert dict(stored.metadata.pixel_size) == {"Z": 0.5, "Y": 0.2, "X": 0.2}
    assert stored.metadata.units["X"] == "micrometer"
    assert isinstance(stored.data, np.memmap) == (encoding == "raw" and name == "a.nrrd")


def test_nrrd_with_colours_first(tmp_path: Path) -> None:
    import nrrd

    colours = np.random.default_rng(0).integers(0, 255, (4, 20, 30, 3), dtype=np.uint8)
    header = {"kinds": ["RGB-color", "domain", "domain", "domain"], "encoding": "raw"}
    nrrd.write(str(tmp_path / "a.nrrd"), colours, header, index_order="C")
    check(open_image(tmp_path / "a.nrrd"), "ZYXS", colours)


@pytest.mark.parametrize("name", ["a.mrc", "tomogram", "a.mrc.gz"])
def test_mrc(tmp_path: Path, name: str) -> None:
    import mrcfile

    compression = "gzip" if name.endswith("gz") else None
    with mrcfile.new(tmp_path / name, FLOATS, compression=compression) as file:
        file.voxel_size = 4.5
    stored = open_image(tmp_path / name)
    check(stored, "ZYX", FLOATS)
    assert stored.metadata.pixel_size["X"] == pytest.approx(4.5)
    assert stored.metadata.units["X"] == "angstrom"


@pytest.mark.parametrize("name", ["a.czi", "scan"])
def test_czi(tmp_path: Path, name: str) -> None:
    from pylibCZIrw import czi

    stack = np.stack([np.stack([VOLUME, VOLUME + 1]), np.stack([VOLUME + 2, VOLUME + 3])])
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for (t, c, z), _ in np.ndenumerate(stack[..., 0, 0]):
            file.write(data=stack[t, c, z], plane={"T": t, "C": c, "Z": z})
        file.write_metadata(
            document_name="a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=1e-7, scale_y=1e-7,
            scale_z=3e-7,
        )  # fmt: skip
    (tmp_path / "a.czi").rename(tmp_path / name)
    stored = open_image(tmp_path / name)
    assert (stored.axes, stored.data.shape) == ("TCZYX", stack.shape)
    for data in (stored.data, pickle.loads(pickle.dumps(stored)).data):
        np.testing.assert_array_equal(data[1, :, 2], stack[1, :, 2])
        np.testing.assert_array_equal(np.asarray(data), stack)
    found = stored.metadata
    assert found.channel_names == ("DAPI", "GFP")
    assert dict(found.pixel_size) == pytest.approx({"Z": 0.3, "Y": 0.1, "X": 0.1})
    assert set(found.units.values()) == {"micrometer"}


def test_czi_with_unnamed_scenes_is_refused(tmp_path: Path) -> None:
    from pylibCZIrw import czi

    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for scene in range(3):
            file.write(data=VOLUME[scene], scene=scene, location=(100 * scene, 0))
    with pytest.raises(InputError, match="has 3 scenes, but no metadata on them: write"):
        open_image(path)


def test_npy_is_mapped_and_has_no_axes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME)
    stored = open_image(tmp_path / "a.npy")
    check(stored, None, VOLUME)
    assert isinstance(stored.data, np.memmap)
    np.save(tmp_path / "a_seg.npy", {"masks": VOLUME}, allow_pickle=True)
    with pytest.raises(InputError, match=r"a_seg\.npy .* holds Python objects"):
        open_image(tmp_path / "a_seg.npy")


def test_the_largest_array_of_npz_is_the_main_image(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", thumbnail=VOLUME[0, ::2, ::2], stack=VOLUME, scale=np.ones(3))
    assert image_names(tmp_path / "a.npz") == ["thumbnail", "stack"]
    with pytest.warns(UserWarning, match=r"2 images \(0: thumbnail, 1: stack\): number 1 is used"):
        stored = open_image(tmp_path / "a.npz")
    check(stored, None, VOLUME)
    np.testing.assert_array_equal(
        open_image(tmp_path / "a.npz", image="thumbnail").data, VOLUME[0, ::2, ::2]
    )


def test_hdf5_datasets_are_images(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["preview"] = VOLUME[0]
        file["volumes/raw"] = VOLUME[None, ..., None]
        file["volumes/raw"].attrs["axistags"] = (
            '{"axes": [{"key": "t"}, {"key": "z"}, {"key": "y"}, {"key": "x"}, {"key": "c"}]}'
        )
        file["name"] = "text"
    assert image_names(tmp_path / "a.h5") == ["preview", "volumes/raw"]
    with pytest.warns(UserWarning, match=r"2 images \(0: preview, 1: volumes/raw\): number 1 is"):
        stored = open_image(tmp_path / "a.h5")
    check(stored, "ZYX", VOLUME)
    np.testing.assert_array_equal(open_image(tmp_path / "a.h5", image=0).data, VOLUME[0])
    with pytest.raises(InputError, match=r"choose one of 0 \(preview\), 1 \(volumes/raw\)"):
        open_image(tmp_path / "a.h5", image="volumes")


def test_netcdf_4_has_names_of_axes(tmp_path: Path) -> None:
    import h5py

    bands = np.stack([VOLUME, VOLUME + 1]).astype(np.float32)
    with h5py.File(tmp_path / "a.nc", "w") as file:
        scene = file.create_dataset("reflectance", data=bands)
        scene.attrs["_FillValue"] = np.array([-9999], np.float32)
        for axis, name in enumerate(("time", "band", "y", "x")):
            file[name] = np.arange(bands.shape[axis])
            file[name].make_scale(name)
            scene.dims[axis].attach_scale(file[name])
    assert image_names(tmp_path / "a.nc") == ["reflectance"]
    stored = open_image(tmp_path / "a.nc")
    assert stored.metadata.nodata == -9999
    assert stored.axes == "TCYX"
    np.testing.assert_array_equal(np.asarray(stored.data), bands)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "ffv1"), ("a.avi", "libx264"), ("clip", "mpeg2video")],
)
def test_frames_of_video_are_read_in_any_order(tmp_path: Path, name: str, codec: str) -> None:
    import av

    path = tmp_path / name
    with av.open(str(path), "w", format=None if "." in name else "mpeg") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 32
        stream.pix_fmt = "yuv420p"
        for number in range(80):
            pixels = np.full((32, 64, 3), 3 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    stored = open_image(path)
    assert (stored.axes, stored.data.shape) == ("TYXS", (80, 32, 64, 3))
    assert stored.metadata.pixel_size["T"] == pytest.approx(1 / 25)
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    sent = pickle.loads(pickle.dumps(stored.data))
    for data in (stored.data, sent):
        for number in (0, 70, 3, 4, 79, 12):
            np.testing.assert_array_equal(data[number], expected[number])


def test_the_frames_of_animations_are_a_stack(tmp_path: Path) -> None:
    from PIL import Image

    gray = [Image.fromarray(np.full((20, 30), 40 * at, np.uint8)) for at in range(5)]
    for name, kind in (("a.gif", None), ("b.png", "PNG"), ("c.webp", None)):
        options: dict[str, Any] = {"lossless": True} if kind is None else {}
        gray[0].save(
            tmp_path / name, save_all=True, append_images=gray[1:], duration=200, **options
        )
        stored = open_image(tmp_path / name)
        assert len(stored.data) == 5
        assert stored.axes in ("TYX", "TYXS")
        assert stored.metadata.pixel_size["T"] == pytest.approx(0.2)
        for data in (stored.data, pickle.loads(pickle.dumps(stored.data))):
            for at in (4, 1, 3, 3, 0):
                assert abs(int(data[at].max()) - 40 * at) <= 1
                assert data[at].max() == data[at].min()


def test_transparent_pixels_of_an_animation_are_masked(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:, 2:7, :4, 3] = 0
    first, *others = map(Image.fromarray, pixels)
    first.save(tmp_path / "a.png", save_all=True, append_images=others)
    frame = open_image(tmp_path / "a.png").data[1]
    np.testing.assert_array_equal(np.ma.getmaskarray(frame)[..., 0], pixels[1, ..., 3] == 0)
    np.testing.assert_array_equal(frame.data[8:], pixels[1, 8:, :, :3])


def dicom(path: Path) -> None:
    path.write_bytes(bytes(128) + b"DICM" + bytes(200))


def pdf(path: Path) -> None:
    path.write_bytes(b"%PDF-1.4\n" + bytes(200))


def archive(path: Path) -> None:
    path.write_bytes(gzip.compress(b"text"))


@pytest.mark.parametrize(
    ("write", "message"), [(dicom, "dcm2niix"), (pdf, "export its pages"), (archive, "decompress")]
)
def test_formats_that_cannot_be_a_stack_are_refused(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "a.tif")
    with pytest.raises(InputError, match=rf"a\.tif is a .* file and cannot be opened: .*{message}"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("package", "suffix", "extra"),
    [("nibabel", "nii", "medical"), ("nrrd", "nrrd", "medical"), ("mrcfile", "mrc", "medical"),
     ("bioio", "czi", "bioio"), ("rasterio", "vrt", "geo")],
)  # fmt: skip
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, suffix: str, extra: str
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        "napari_vrp_sam.io.optional.find_spec",
        lambda name: None if name == package else find(name),
    )
    (tmp_path / f"a.{suffix}").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=rf"pip install 'napari-vrp-sam\[{extra}\]'"):
        open_image(tmp_path / f"a.{suffix}")


def test_picture_that_its_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "large.bmp"
    Image.new("RGB", (30, 20)).save(path)
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack("<ii", 3_000_000, 2_000_000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"3000000 x 2000000 pixels .* bytes of the file"):
        open_image(path)


def test_tiff_with_a_palette_of_two_colours(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.fromarray((VOLUME[0] % 2).astype(np.uint8))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "a.tif", bits=1)
    stored = open_image(tmp_path / "a.tif")
    colours = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    assert np.array_equal(stored.data, colours[VOLUME[0] % 2])


def test_frames_of_a_gif_are_cut_to_its_canvas(tmp_path: Path) -> None:
    from PIL import Image

    frames = [Image.fromarray(np.full((20, 20), value, np.uint8)) for value in (50, 90)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    content = bytearray((tmp_path / "a.gif").read_bytes())
    second = content.rindex(b"\x2c" + struct.pack("<HHHH", 0, 0, 20, 20))
    content[second + 1 : second + 3] = struct.pack("<H", 10)  # begins at column 10
    (tmp_path / "a.gif").write_bytes(content)
    stored = open_image(tmp_path / "a.gif")
    assert stored.data.shape[:3] == (2, 20, 20)
    assert np.asarray(stored.data[1]).shape[:2] == (20, 20)
