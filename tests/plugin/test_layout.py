"""Nothing is clipped in a narrow dock, and no button moves while the user works."""

import re
from pathlib import Path

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QWidget
from tests.plugin.fitting import misfits
from tests.plugin.halfhour.play import in_view
from tests.plugin.window import press, run

from napari_vrp_sam.plugin.widgets.help_button import DOCUMENTATION, HelpButton
from napari_vrp_sam.plugin.widgets.section import Section

DOCS = Path(__file__).parents[2] / "docs"
NAME = "napari-vrp-sam"


def widest(tab):
    """Return the minimum widths of the controls, to find the one that widens the dock."""
    controls = [child for child in tab.findChildren(QWidget) if child.isVisibleTo(tab)]
    widths = [(child.minimumSizeHint().width(), type(child).__name__) for child in controls]
    return sorted(widths, reverse=True)[:6]


def narrow(qtbot, panel, tab, width, *, at_most):
    """Set the width of the dock; check that it is reached and that everything fits."""
    dock = panel.parentWidget()

    def check():
        # Again, because the minimum width changes until the style of all controls is applied.
        dock.window().resizeDocks([dock], [width], Qt.Orientation.Horizontal)
        assert dock.width() <= at_most, widest(tab)
        assert misfits(panel, tab.scroll) == []

    qtbot.waitUntil(check, timeout=20_000)


def expand_sections(qtbot, tab):
    for section in tab.findChildren(Section):
        section.expand(animate=False)
    qtbot.wait(200)  # until napari's style is applied, which makes the controls narrower


@pytest.fixture
def panel(qtbot, viewer, cold_worker):
    """Panel with everything that its tabs can show."""
    _, panel = viewer.window.add_plugin_dock_widget(NAME, "Segment stack")
    channels = ["DAPI", "Alexa Fluor 488", "mCherry", "bright field"]
    viewer.add_image(
        np.zeros((5, 4, 64, 64), np.uint8),
        name="an image whose name is a good deal longer than the dock is wide",
        axis_labels=("z", "c", "y", "x"),
        metadata={"channel_names": channels},
    )
    tune = panel.fine_tune
    tune.controls.show_running(running=True)
    tune.controls.progress.setFormat("step %v of %m")
    tune.controls.progress.setRange(0, 10_000)
    tune.controls.progress.setValue(9999)
    tune.plot.show()
    tune.comparison.label.setText("Frame 1000, 1000")
    tune.comparison.show()
    expand_sections(qtbot, tune)
    segment = panel.segment
    segment.preview_box.setChecked(False)
    for button in segment.form.draw_buttons.values():
        button.click()
    segment.form.channel_box.choose(range(4))
    segment.form.class_list.add_button.click()
    segment.objects_panel.form.set_axes("TZCYX")
    segment.objects_panel.form.output_box.setCurrentIndex(2)
    segment.quality_panel.setVisible(True)
    segment.accept_button.setText("Accept frame 1000, 1000")
    segment.accept_button.setVisible(True)
    segment.files_panel.list.show_files([Path("a name that is longer than its column.tif")])
    segment.files_panel.state.set_full_text("File 1000 of 1000: a name.tif: Frame 1000 of 1000")
    segment.files_panel.show()
    expand_sections(qtbot, segment)
    return panel


@pytest.mark.parametrize(("theme", "width"), [("dark", 240), ("light", 300)])
def test_no_text_is_wider_than_its_box(qtbot, viewer, panel, theme, width):
    viewer.theme = theme
    for tab in (panel.segment, panel.fine_tune):
        panel.tabs.setCurrentWidget(tab.parentWidget())
        narrow(qtbot, panel, tab, width, at_most=width + 4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [9, 12, 14])
def test_no_text_is_clipped_with_other_font_sizes(qtbot, viewer, panel, size, monkeypatch):
    """The dock becomes wider if it has to."""
    monkeypatch.setattr(get_settings().appearance, "font_size", size)
    for tab in (panel.segment, panel.fine_tune):
        panel.tabs.setCurrentWidget(tab.parentWidget())
        narrow(qtbot, panel, tab, 240, at_most=400)


def test_buttons_do_not_move(qtbot, viewer, dock, engine, annotated):
    form = dock.form
    watched = [
        *form.draw_buttons.values(),
        form.class_list.add_button,
        form.model_box,
        dock.segment_button,
        dock.cancel_button,
    ]

    def places():
        content = dock.scroll.content
        qtbot.wait(100)  # for the layout
        return [widget.mapTo(content, QPoint(0, 0)).y() for widget in watched]

    before = places()
    for button in form.draw_buttons.values():
        press(qtbot, button)
    assert places() == before
    form.class_list.add_button.click()
    form.class_list.add_button.click()
    assert places() == before
    form.model_box.choose("vit_b")  # shows a note
    assert places() == before
    form.model_box.choose("lite")
    press(qtbot, dock.segment_button)
    assert dock.running
    assert places() == before
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert places() == before
    run(qtbot, dock, engine)
    assert places() == before


def test_axes_are_folded_away_if_they_are_obvious(qtbot, viewer, dock):
    form, box = dock.form, dock.form.axes_box

    def is_folded():
        return form.advanced.isAncestorOf(box)

    viewer.add_image(np.zeros((9, 20, 30)))
    assert is_folded()
    viewer.add_image(np.zeros((3, 20, 30)))  # frames or channels
    assert not is_folded()
    assert box.isVisible()
    viewer.add_image(np.zeros((9, 3, 20, 30)))
    assert not is_folded()
    viewer.add_image(np.zeros((9, 3, 20, 30)), axis_labels=("z", "c", "y", "x"))
    assert is_folded()
    form.advanced.expand(animate=False)
    qtbot.waitUntil(box.isVisible)
    assert box.currentText() == "ZCYX"


def test_help_links_open_existing_pages(qtbot, panel, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    buttons = panel.findChildren(HelpButton)
    assert len(buttons) >= 6
    for button in buttons:
        button.click()
        page, _, anchor = button.page.partition("#")
        text = (DOCS / page).read_text()
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}
        place = page.removesuffix(".md")
        assert opened[-1] == f"{DOCUMENTATION}{place}/" + (f"#{anchor}" if anchor else "")


def test_the_status_stays_in_view(qtbot, viewer, dock, annotated):
    dock.window().resize(1280, 800)
    for button in (dock.export_button, dock.objects_panel.find_button):
        dock.scroll.ensureWidgetVisible(button)
        qtbot.wait(50)
        assert not dock.status.visibleRegion().isEmpty()
        assert dock.status.visibleRegion().boundingRect() == dock.status.rect()


def test_the_status_is_as_high_as_its_text_and_moves_no_button(qtbot, viewer, dock, annotated):
    dock.window().resize(1280, 700)
    bar = dock.scroll.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 100)
    bar.setValue(bar.maximum())
    buttons = dock.session_panel.save_button, dock.undo_buttons.undo_button

    def places():
        qtbot.wait(100)  # for the layout
        return [button.mapTo(dock, QPoint(0, 0)).y() for button in buttons]

    before = places()
    height = dock.card.height()
    assert height < 5 * dock.card.fontMetrics().lineSpacing()
    dock.panel.notify("A message of one sentence" + ", which takes several lines" * 4 + ".")
    dock.incomplete_mask.show()
    assert places()[1] == before[1]
    assert dock.card.height() > height + 40
    assert not dock.scroll.visibleRegion().isEmpty()
    dock.panel.notify("Short.")
    dock.incomplete_mask.hide()
    assert places() == before
    assert dock.card.height() <= height
    bar.setValue(0)
    assert bar.maximum() > 100


def test_an_opened_section_scrolls_into_view(qtbot, viewer, dock, annotated):
    dock.window().resize(1280, 800)
    button = dock.objects_panel.toggleButton()
    dock.scroll.ensureWidgetVisible(button, 0, 0)
    qtbot.waitUntil(lambda: in_view(button, dock.scroll), timeout=10_000)
    press(qtbot, button)
    qtbot.waitUntil(lambda: in_view(dock.objects_panel.find_button, dock.scroll), timeout=10_000)
    assert in_view(button, dock.scroll)
