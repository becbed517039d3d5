"""The benchmark of large layers names the functions of a gap."""

from tests.scripts import load_script


def test_functions_within_a_gap_and_the_share_of_the_plugin():
    benchmark = load_script("benchmarks/large_layers.py")
    sampler = benchmark.Sampler()
    assert sampler.within(0, 1) == {}
    names = "napari.a", "napari_vrp_sam.b", "napari.a", "vispy.c", "napari.a"
    sampler.samples = [(float(at), name) for at, name in enumerate(names)]
    found = sampler.within(1, 4)
    assert found["plugin"] == 0.25
    assert found["within"] == {"napari.a": 0.5, "napari_vrp_sam.b": 0.25, "vispy.c": 0.25}
