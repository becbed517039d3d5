import itertools

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from napari.utils.theme import get_theme
from skimage.color import rgb2lab

from napari_vrp_sam.plugin.layers.appearance.palette import (
    PALETTE,
    casing_colour,
    contrast,
    default_colour,
    relative_luminance,
)
from napari_vrp_sam.plugin.widgets.plot import AMBER, BLUE, GREEN

GREYS = [f"#{value:02x}{value:02x}{value:02x}" for value in (0, 64, 128, 192, 255)]
# Simulation of colour blindness in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen(colour, vision):
    """Colour in CIELAB as a person with this vision sees it."""
    rgb = transform_color(colour)[0, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(VISIONS[vision]) @ linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(rgb[None, None])[0, 0]


def test_contrast_is_that_of_the_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#782506", "#101010") < 2  # napari's first label


@pytest.mark.parametrize("grey", GREYS)
def test_every_class_or_its_casing_contrasts_with_every_grey(grey):
    for number in range(1, 256):
        colour = default_colour(number)
        best = max(contrast(colour, grey), contrast(casing_colour(colour), grey))
        assert best >= 3, (number, colour)


@pytest.mark.parametrize("vision", VISIONS)
def test_ten_classes_differ_for_colour_blind_people(vision):
    for first, second in itertools.combinations(map(default_colour, range(1, 11)), 2):
        distance = np.linalg.norm(seen(first, vision) - seen(second, vision))
        assert distance > 12, (first, second)  # a just noticeable difference is about 2


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_colours_of_plots_are_visible_in_both_themes(theme):
    background = get_theme(theme).background.as_hex(format="long")[:7]
    for colour in (BLUE, AMBER, GREEN):
        assert contrast(colour.name(), background) >= 3


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_of_plots_differ_for_colour_blind_people(vision):
    for first, second in itertools.combinations((BLUE, AMBER, GREEN), 2):
        assert np.linalg.norm(seen(first.name(), vision) - seen(second.name(), vision)) > 10


def test_twenty_classes_have_different_colours():
    colours = [default_colour(number) for number in range(1, 21)]
    assert len(set(colours)) == 20
    assert colours[:10] == [colour.lower() for colour in PALETTE]
    assert default_colour(21) == colours[0]


def test_dark_colours_of_users_get_a_light_casing():
    assert casing_colour("#000080") == "#FFFFFF"
    assert relative_luminance("#000080") < relative_luminance("#e69f00")
