"""Saved segmenters in the window: the list, its pictures, and their application to an image."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from tests.inference.test_segmenter_summary import saved
from tests.plugin.window import results

from napari_vrp_sam import Segmenter
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.segmenter_summary import segmenter_summary
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget
from napari_vrp_sam.plugin.segmenters.dialog import SUMMARY, SegmentersDialog
from napari_vrp_sam.plugin.segmenters.recent import (
    MOST,
    forget_segmenter,
    list_path,
    recent_segmenters,
    remember_segmenter,
)


def test_the_list_keeps_existing_files_the_latest_first(tmp_path: Path) -> None:
    assert recent_segmenters() == []
    paths = [tmp_path / f"{number}.segmenter" for number in range(MOST + 2)]
    for path in paths:
        path.touch()
        remember_segmenter(path)
    remember_segmenter(paths[5])
    assert recent_segmenters()[:2] == [paths[5], paths[-1]]
    assert len(recent_segmenters()) == MOST
    paths[5].unlink()
    forget_segmenter(paths[-1])
    assert recent_segmenters()[0] == paths[-2]
    list_path().write_text("{damaged")
    assert recent_segmenters() == []


def test_the_dialog_lists_applies_copies_and_removes(qtbot, tmp_path: Path) -> None:
    first, second = saved(tmp_path / "first.segmenter"), tmp_path / "second.segmenter"
    shutil.copyfile(first, second)
    broken = tmp_path / "broken.segmenter"
    broken.write_bytes(b"x")
    for path in (broken, first):
        remember_segmenter(path)
    dialog = SegmentersDialog()
    qtbot.addWidget(dialog)
    dialog.refresh()
    assert dialog.list.topLevelItemCount() == 1
    item = dialog.list.topLevelItem(0)
    assert [item.text(column) for column in range(3)] == ["first", "nucleus, debris", "lite"]
    assert not item.icon(0).isNull()
    dialog.add(second)
    assert dialog.list.topLevelItemCount() == 2
    assert dialog.selected.path == second
    dialog.add(broken)
    assert "damaged" in dialog.message.text()
    dialog.export_copy(tmp_path / "shared" / "copy.segmenter")
    assert segmenter_summary(tmp_path / "shared" / "copy.segmenter").classes == {
        1: "nucleus",
        3: "debris",
    }
    with qtbot.waitSignal(dialog.chosen) as chosen:
        dialog.list.itemActivated.emit(dialog.list.topLevelItem(0), 0)
    assert chosen.args == [dialog.list.topLevelItem(0).data(0, SUMMARY).path]
    dialog.list.setCurrentItem(dialog.list.topLevelItem(0))
    dialog.remove_button.click()
    assert recent_segmenters()[:1] == [first]
    assert second.exists()


def test_a_saved_segmenter_gives_the_labels_of_python(qtbot, viewer, tmp_path: Path) -> None:
    stack, truth = sample_stack(seed=4, size=64, frames=2)
    other = sample_stack(seed=5, size=64, frames=2)[0]
    segmenter = Segmenter(device="cpu", effort=0.2)
    segmenter.fit(stack, truth[1], axes="ZYX", reference_frame=1).save(tmp_path / "a.segmenter")
    expected = segmenter.predict(other, axes="ZYX").labels
    viewer.add_image(other, name="other")
    dock = SegmentStackWidget(viewer, ThreadEngine())
    viewer.window.add_dock_widget(dock, name="Segment stack")
    dock.preview_box.setChecked(False)
    dock.form.device_box.setCurrentText("cpu")
    dialog = dock.apply_button.open_saved()
    dialog.add(tmp_path / "a.segmenter")
    dialog.apply_button.click()
    qtbot.waitUntil(lambda: dock.running, timeout=60_000)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    (layer,) = results(viewer)
    np.testing.assert_array_equal(layer.data, expected)
    # The annotations of this image become a segmenter, which the list shows.
    masks = np.zeros_like(truth)
    masks[1] = truth[1]
    viewer.add_labels(masks, name="masks")
    path = tmp_path / "b.segmenter"
    with qtbot.waitSignal(
        dock.apply_button.reported, check_params_cb=lambda t: t.startswith("Saved")
    ):
        dock.apply_button.save(path)
    assert recent_segmenters() == [path, tmp_path / "a.segmenter"]


def test_an_image_with_other_channels_is_refused_in_one_sentence(
    qtbot, viewer, dock, tmp_path: Path
) -> None:
    viewer.add_image(np.zeros((2, 48, 64, 3), np.uint8), rgb=True, name="colours")
    with qtbot.waitSignal(dock.apply_button.warned) as warned:
        dock.apply_button.apply_saved(saved(tmp_path / "a.segmenter"))
    assert "'colours' has 3 channels, but the annotations use 1" in warned.args[0]
    assert dock.apply_button.isEnabled()
