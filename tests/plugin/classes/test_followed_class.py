"""The class that is drawn next, when layers are selected."""

from tests.plugin.window import run

from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer


def test_selecting_an_annotation_layer_says_which_class_is_drawn(dock, annotated, viewer):
    image, labels = annotated
    classes = dock.form.class_list.classes
    points = new_annotation_layer(viewer, image, "point", 2)
    assert classes.current == 2

    viewer.layers.selection.active = image
    assert classes.current == 2
    viewer.layers.selection.active = labels
    drawn = labels.selected_label
    assert classes.current == drawn != 2
    assert dock.status.text().startswith(
        f"Drawing {classes.name(drawn)} now, as in '{labels.name}'"
    )
    viewer.layers.selection.active = points
    assert classes.current == 2


def test_selecting_a_result_keeps_the_class(qtbot, dock, engine, annotated, viewer):
    run(qtbot, dock, engine)
    (result,) = filter(is_result_layer, viewer.layers)
    classes = dock.form.class_list.classes
    viewer.layers.selection.active = annotated[0]
    number = annotated[1].selected_label
    result.selected_label = number
    dock.form.class_list.add_button.click()
    added = classes.current
    assert added != number

    viewer.layers.selection.active = result

    assert classes.current == added
    assert result.selected_label == added
