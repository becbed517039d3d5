import pytest

from napari_vrp_sam.plugin.widgets.wording import time_left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "a few seconds left"),
        (14, "about 10 s left"),
        (57, "about 1 min left"),
        (100, "about 2 min left"),
        (3000, "about 50 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_time_left(seconds, text):
    assert time_left(seconds) == text
