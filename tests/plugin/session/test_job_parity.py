"""The command line makes the job of the window from its session."""

from dataclasses import replace

import typer.main

from napari_vrp_sam.cli import app
from napari_vrp_sam.cli.segment.segmenter import OVERRIDES, overrides
from napari_vrp_sam.cli.segment.session import read_session_input
from napari_vrp_sam.io.sessions.session import write_session
from napari_vrp_sam.plugin.session.saving import collect_session

SETTINGS = "model", "device", "prompting", "neighbours", "tile_size", "frames", "channels", "axes"


def job_of_command(folder, *options):
    """Return the job of `vrp-sam segment --session`."""
    command = typer.main.get_command(app).commands["segment"]
    context = command.make_context("segment", ["--session", str(folder), *options])
    given = {name: context.params[name] for name in OVERRIDES}
    given["precision"] = given["precision"].value
    job = read_session_input(context, folder, None).job
    return replace(job, **overrides(context, folder, **given))


def test_window_and_command_line_make_the_same_job(viewer, dock, annotated, tmp_path):
    form = dock.form
    assert form.prompting_box.prompting is None
    assert not form.prompting_box.isVisibleTo(form.advanced)  # `lite` offers none
    form.model_box.choose("vit_b")
    assert form.prompting_box.isVisibleTo(form.advanced)
    assert form.prompting_box.findText("vrp") < 0  # vit_b has no VRP encoder
    assert dock.jobs.run(form.references({}), (), probabilities=False).neighbours
    form.prompting_box.choose("box")
    form.neighbours_box.setChecked(False)
    form.tile_box.setValue(512)
    job = dock.jobs.run(form.references({}), (), probabilities=False)
    assert (job.prompting, job.neighbours) == ("box", False)
    assert "bounding box" in form.prompting_label.text()

    folder = tmp_path / "a.vrpsam"
    objects = dock.objects_panel.form
    objects.output_box.setCurrentIndex(2)
    objects.split_slider.setValue(0.8)
    state = collect_session(form, viewer, dock.result_tools.settings, objects.options())
    write_session(folder, *state)
    replayed = job_of_command(folder)
    for name in SETTINGS:
        assert getattr(replayed, name) == getattr(job, name), name
    other = job_of_command(folder, "--prompting", "points", "--neighbours")
    assert (other.prompting, other.neighbours) == ("points", True)

    form.model_box.choose("lite")
    form.neighbours_box.setChecked(True)
    objects.output_box.setCurrentIndex(0)
    objects.split_slider.setValue(0.1)
    dock.session_panel.open(folder)
    assert (form.prompting_box.prompting, form.neighbours_box.isChecked()) == ("box", False)
    assert objects.output_box.currentText() == "Objects through Z"
    assert objects.split_slider.value() == 0.8
