"""The gallery of models in the window."""

import hashlib
import threading
from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from tests.models.conftest import Server

from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.models.weights import catalogue, transfer
from napari_vrp_sam.models.weights.downloads import (
    CACHE_VARIABLE,
    MIRROR_VARIABLE,
    OFFLINE_VARIABLE,
    PublishedFile,
)
from napari_vrp_sam.models.weights.model_spec import PACKAGED, ModelSpec

CONTENT = b"weights " * 4000


@pytest.fixture
def server(monkeypatch, tmp_path):
    for variable in (MIRROR_VARIABLE, OFFLINE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "CHUNK", 100)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.files["sam.pth"] = CONTENT
        digest = hashlib.sha256(CONTENT).hexdigest()
        weights = PublishedFile(f"{server.url}/sam.pth", digest, "MIT", len(CONTENT), "SAM")
        spec = ModelSpec("small", "For tests.", "vit_b", PACKAGED, "MIT", sam_weights=weights)
        monkeypatch.setattr(catalogue, "BUILT_IN", (*catalogue.BUILT_IN, spec))
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def gallery(dock, server):
    return dock.form.gallery_button.open()


def texts(gallery):
    return [gallery.list.item(row).text() for row in range(gallery.list.count())]


def test_cards_say_what_a_model_is_for_and_what_it_costs(gallery):
    assert [spec.name for spec in catalogue.BUILT_IN] == [t.split()[0] for t in texts(gallery)]
    assert gallery.selected == "lite"
    assert not gallery.download_button.isEnabled()
    gallery.select("dinov3_s")
    assert "DINOv3 License" in gallery.card.text()
    assert "accept it at" in gallery.card.text()
    gallery.select("vit_b_lm")
    assert "cells and nuclei in light microscopy" in gallery.list.currentItem().text()
    assert "Nature Methods" in gallery.card.text()
    assert gallery.download_button.isEnabled()
    assert not gallery.remove_button.isEnabled()
    gallery.use_button.click()


def test_using_a_model_chooses_it_in_the_box(dock, gallery):
    gallery.select("dinov2_s")
    gallery.use_button.click()
    assert dock.form.model_box.model == "dinov2_s"
    assert gallery.isHidden()
    assert dock.form.gallery_button.open().selected == "dinov2_s"


def test_download_is_cancelled_resumed_and_removed(gallery, server, qtbot):
    server.pauses["sam.pth"] = 0.2
    gallery.select("small")
    gallery.download_button.click()
    assert gallery.download_button.text() == "Cancel download"
    qtbot.waitUntil(lambda: gallery.bar.value() >= 10)
    gallery.download_button.click()
    qtbot.waitUntil(lambda: gallery.download is None)
    assert "resumes" in gallery.message.text()
    assert gallery.download_button.text() == "Resume download"
    server.pauses.clear()
    gallery.download_button.click()
    qtbot.waitUntil(lambda: gallery.download is None)
    assert server.requests[-1].startswith("sam.pth bytes=")
    assert "small is downloaded" in gallery.message.text()
    assert not gallery.download_button.isEnabled()
    gallery.remove("small")
    assert gallery.download_button.isEnabled()
    assert gallery.download_button.text() == "Download"


def test_without_a_connection_one_sentence_and_the_rest_works(
    dock, gallery, server, qtbot, monkeypatch
):
    server.files.clear()
    gallery.select("small")
    gallery.download_button.click()
    qtbot.waitUntil(lambda: gallery.download is None)
    assert gallery.message.text().count("\n") == 0
    assert "SAM has to be downloaded" in gallery.message.text()
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    gallery.download_button.click()
    assert gallery.download is None
    assert "Downloads are forbidden" in gallery.message.text()
    gallery.select("lite")
    gallery.use_button.click()
    assert dock.form.model_box.model == "lite"


def test_suggestion_follows_the_image(dock, gallery, annotated):
    dock.form.gallery_button.open()
    assert "For one channel" in gallery.hint.text()
    annotated[0].metadata = {"napari-vrp-sam": {"crs": "EPSG:32632"}}
    dock.form.gallery_button.open()
    assert "scenes on a map" in gallery.hint.text()


def test_models_are_compared_on_the_annotated_frame(
    dock, gallery, annotated, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    submit = ThreadEngine().submit
    button = dock.form.gallery_button
    button.compare = lambda models: submit(replace(dock.jobs.compare(models), effort=0.2))
    button.open()
    for row in range(gallery.list.count()):
        item = gallery.list.item(row)
        ticked = item.data(Qt.ItemDataRole.UserRole) in {"lite", "small"}
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
    assert gallery.ticked == ["lite", "small"]
    gallery.compare_button.click()
    assert gallery.compare_button.text() == "Cancel comparison"
    qtbot.waitUntil(lambda: gallery.comparison is None, timeout=120_000)
    shown = gallery.result
    assert shown.table.item(0, 0).text() == "lite"
    assert float(shown.table.item(0, 1).text()) > 0.5
    assert "offline mode" in shown.table.item(1, 4).text()
    assert "held out" in shown.note.text()
    shown.save(str(tmp_path / "out"))
    assert (tmp_path / "out" / "comparison.csv").is_file()
    shown.close()


def test_nothing_annotated_is_one_sentence(dock, gallery, viewer, stack):
    viewer.add_image(stack[0], name="stack")
    dock.form.gallery_button.open()
    gallery.compare_button.click()
    assert gallery.comparison is None
    assert "annotat" in gallery.message.text()
