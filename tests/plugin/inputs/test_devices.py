"""Devices that the window offers."""

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.plugin.inputs.devices import offered_devices


def test_only_devices_of_this_computer_are_offered(dock):
    box = dock.form.device_box
    offered = [box.itemText(i) for i in range(box.count())]
    assert offered[:2] == ["auto", "cpu"]
    assert offered == list(offered_devices())
    for device in ("cuda", "mps"):
        try:
            resolve_device(device)
        except InputError:
            assert device not in offered
        else:
            assert device in offered
