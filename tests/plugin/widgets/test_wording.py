import pytest

from napari_vrp_sam.plugin.widgets.wording import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "a few seconds"),
        (14, "10 s"),
        (57, "60 s"),
        (100, "2 min"),
        (3000, "50 min"),
        (9000, "2.5 h"),
    ],
)
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text
