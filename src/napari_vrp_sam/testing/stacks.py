"""Strategies for stacks: any order of axes, any dtype, any shape, with ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_vrp_sam.io.axes import AXES

DTYPES = (
    "bool", "uint8", "int8", "uint16", ">u2", "int16", "uint32", "int32", "int64", "uint64",
    "float16", "float32", ">f4", "float64",
)  # fmt: skip
"""Dtypes of images that can be segmented; ">" marks another byte order than that of most CPUs."""


@dataclass(frozen=True, eq=False)
class StackExample:
    """Stack of frames that show bright discs, with its ground truth.

    Attributes
    ----------
    data : ndarray
        Intensities, in the order of `axes`.
    axes : str
        One letter of T, Z, C, Y, X, S for each axis.
    truth : ndarray, uint8
        Class of each pixel, 0 or 1, in the order of the label image: leading axes as in `axes`,
        then Y and X.
    """

    data: NDArray[Any]
    axes: str
    truth: NDArray[np.uint8]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001
        printer.text(repr(self))  # Hypothesis would print every pixel

    def __repr__(self) -> str:
        return f"StackExample({self.axes}, {self.data.shape}, {self.data.dtype.str})"

    @property
    def lead_axes(self) -> str:
        """Letters of the axes along which frames are counted."""
        return "".join(axis for axis in self.axes if axis in "TZ")

    @property
    def label_axes(self) -> str:
        """One letter for each axis of the label image."""
        return self.lead_axes + "YX"

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(np.prod(self.truth.shape[:-2], dtype=int))

    @property
    def reference_frame(self) -> tuple[int, ...]:
        """Position of the middle frame on the leading axes; every frame shows a disc."""
        return tuple(size // 2 for size in self.truth.shape[:-2])

    @property
    def annotation(self) -> NDArray[np.uint8]:
        """Ground truth (Y, X) of the frame `reference_frame`."""
        return np.asarray(self.truth[self.reference_frame])

    def squeezed(self) -> StackExample:
        """Return the stack without axes of size 1, except Y and X."""
        sizes = dict(zip(self.axes, self.data.shape, strict=True))
        axes = "".join(axis for axis in self.axes if axis in "YX" or sizes[axis] > 1)
        single = [self.axes.index(axis) for axis in self.axes if axis not in axes]
        lead = [at for at, axis in enumerate(self.lead_axes) if axis not in axes]
        return StackExample(self.data.squeeze(tuple(single)), axes, self.truth.squeeze(tuple(lead)))

    def reordered(self, axes: str) -> StackExample:
        """Return the same stack with its axes in another order.

        Parameters
        ----------
        axes : str
            The letters of `axes` in any order.

        Returns
        -------
        StackExample
            A view of the same pixels.
        """
        data = self.data.transpose([self.axes.index(axis) for axis in axes])
        example = StackExample(data, axes, self.truth)
        truth = self.truth.transpose([self.label_axes.index(a) for a in example.label_axes])
        return StackExample(data, axes, truth)

    def plain(self) -> StackExample:
        """Return the stack as a contiguous array in the usual order of axes, T Z C Y X S."""
        plain = self.reordered("".join(axis for axis in AXES if axis in self.axes))
        return StackExample(np.ascontiguousarray(plain.data), plain.axes, plain.truth)


@st.composite
def axes_orders(draw: st.DrawFn, *, lead: str = "TZ", channels: Sequence[str] = ("", "C")) -> str:
    """Generate orders of the axes of an image.

    Parameters
    ----------
    draw : DrawFn
        Supplied by Hypothesis.
    lead : str, default: "TZ"
        Axes along which frames are counted; each of them may be absent.
    channels : sequence of str, default: ("", "C")
        Choices for the axis of channels: "C", "S" (colours), or "" for none.

    Returns
    -------
    strategy of str
        Such as "ZYX" or "XCTY". Y and X are always there.

    Examples
    --------
    >>> from hypothesis import given
    >>> from napari_vrp_sam.inference.frames import Frames
    >>> @given(axes_orders())
    ... def test_frames_have_rows_and_columns(axes):
    ...     frames = Frames(np.zeros([20] * len(axes)), axes)
    ...     assert frames.frame_shape == (20, 20)
    >>> test_frames_have_rows_and_columns()
    """
    chosen = [
        "Y",
        "X",
        *sorted(draw(st.sets(st.sampled_from(sorted(lead))))),
    ]
    chosen += list(draw(st.sampled_from(channels)))
    return "".join(draw(st.permutations(chosen)))


def dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    """Generate dtypes of images: bool, integers and floats, in both byte orders.

    Returns
    -------
    strategy of dtype
    """
    return st.sampled_from(DTYPES).map(np.dtype)


@st.composite
def stacks(
    draw: st.DrawFn,
    *,
    axes: st.SearchStrategy[str] | None = None,
    dtype: st.SearchStrategy[np.dtype[Any]] | None = None,
    sides: tuple[int, int] = (24, 40),
    frames: tuple[int, int] = (1, 3),
) -> StackExample:
    """Generate stacks of frames that show bright discs on a darker, noisy background.

    Parameters
    ----------
    draw : DrawFn
        Supplied by Hypothesis.
    axes : strategy of str, optional
        Default: `axes_orders`.
    dtype : strategy of dtype, optional
        Default: `dtypes`.
    sides : tuple of int, default: (24, 40)
        Smallest and largest height and width in pixels, at least 24.
    frames : tuple of int, default: (1, 3)
        Smallest and largest size of each of the axes T and Z.

    Returns
    -------
    strategy of StackExample
        Background has about a fifth of the range of intensities, discs about four fifths; bool is
        True in discs. Integers use at most 12 bits, so that floats hold the same values.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from napari_vrp_sam import segment_stack
    >>> from napari_vrp_sam.testing import PixelModel
    >>> @settings(max_examples=3, deadline=None)
    ... @given(stacks())
    ... def test_labels_have_the_shape_of_the_ground_truth(example):
    ...     labels = segment_stack(
    ...         example.data, example.annotation, axes=example.axes, model=PixelModel(),
    ...         reference_frame=example.reference_frame, device="cpu",
    ...     )
    ...     assert labels.shape == example.truth.shape
    >>> test_labels_have_the_shape_of_the_ground_truth()
    """
    order = draw(axes_orders() if axes is None else axes)
    kind = draw(dtypes() if dtype is None else dtype)
    side = st.integers(max(sides[0], 24), sides[1])
    sizes = {axis: draw(st.integers(*frames)) for axis in "TZ" if axis in order}
    lead = tuple(sizes.values())
    shape = draw(side), draw(side)
    n_channels = draw(st.integers(1, 3)) if "C" in order else 3 if "S" in order else 1
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    truth = np.stack([_disc(rng, shape) for _ in range(int(np.prod(lead, dtype=int)))])
    image = _image(rng, truth, n_channels)
    image = image.reshape(*lead, *shape, n_channels)
    named = "".join(sizes) + "YX" + ("S" if "S" in order else "C")
    if not {"C", "S"} & set(order):
        image, named = image[..., 0], named[:-1]
    example = StackExample(_cast(image, kind), named, truth.reshape(*lead, *shape))
    return example.reordered(order)


def _disc(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask of one disc inside of a frame."""
    radius = rng.uniform(5, 8)
    row, column = (rng.uniform(radius, side - radius) for side in shape)
    rows, columns = np.indices(shape)
    inside: NDArray[np.bool_] = np.hypot(rows - row, columns - column) < radius
    return inside.astype(np.uint8)


def _image(
    rng: np.random.Generator, truth: NDArray[np.uint8], channels: int
) -> NDArray[np.float64]:
    """Return intensities in 0..1, shape of the ground truth + (C,)."""
    gain = rng.uniform(0.8, 1, channels)
    noise = rng.normal(0, 0.03, (*truth.shape, channels))
    return np.asarray(((0.2 + 0.6 * truth[..., None]) * gain + noise).clip(0, 1))


def _cast(image: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return intensities in the range of a dtype, in steps that all of its kind hold."""
    if dtype.kind == "b":
        return image > 0.5
    bits = min(8 * dtype.itemsize - (dtype.kind != "u"), 12)
    if dtype.kind == "f":
        bits = 8  # half precision holds whole numbers up to 2048
    return np.asarray(np.floor(image * (2**bits - 1)).astype(dtype))
