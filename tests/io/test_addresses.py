"""No file makes the program connect to an address that it names, or run code that it holds."""

import http.server
import json
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.opening import open_image
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.references.annotations import AnnotatedStack
from napari_vrp_sam.io.references.reading import read_annotations

MAP = AnnotatedStack(
    (64, 64), metadata=ImageMetadata(transform=(1, 0, 0, 0, -1, 0), crs="EPSG:3857")
)
VRT = """<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">{}</SourceFilename><SourceBand>1</SourceBand>
<SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/><DstRect xOff="0" yOff="0" xSize="64" ySize="64"/>
</SimpleSource></VRTRasterBand></VRTDataset>"""
WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>URL/${z}/${x}/${y}.png</ServerUrl></Service>
<DataWindow><UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508</UpperLeftY>
<LowerRightX>20037508</LowerRightX><LowerRightY>-20037508</LowerRightY><TileLevel>2</TileLevel>
<TileCountX>1</TileCountX><TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow>
<Projection>EPSG:3857</Projection><BandsCount>3</BandsCount></GDAL_WMS>"""
OGR_VRT = """<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/vsicurl/URL/v.geojson
</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"""
WFS = "<OGRWFSDataSource><URL>URL/wfs</URL></OGRWFSDataSource>"
GML = """<?xml version="1.0"?>
<ogr:FeatureCollection xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
xsi:schemaLocation="http://ogr.maptools.org/ URL/x.xsd" xmlns:ogr="http://ogr.maptools.org/"
xmlns:gml="http://www.opengis.net/gml"><gml:featureMember><ogr:a fid="a.0"><ogr:geometryProperty>
<gml:Point><gml:coordinates>10,-12</gml:coordinates></gml:Point></ogr:geometryProperty></ogr:a>
</gml:featureMember></ogr:FeatureCollection>"""
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nURL/seg.ts\n#EXT-X-ENDLIST\n"


@pytest.fixture
def server():
    """A server that counts requests, and the address under which it is reached."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", requests
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("curl.vrt", VRT.format("/vsicurl/URL/a.tif")),
        ("http.vrt", VRT.format("URL/a.tif")),
        ("zip.vrt", VRT.format("/vsizip/vsicurl/URL/a.zip/a.tif")),
        ("wms.img", WMS),
        ("nested.vrt", VRT.format("FOLDER/wms.xml")),
        ("playlist.mp4", PLAYLIST),
    ],
)
def test_images_name_addresses_in_vain(tmp_path, server, name, content):
    url, requests = server
    (tmp_path / "wms.xml").write_text(WMS.replace("URL", url))
    (tmp_path / name).write_text(content.replace("URL", url).replace("FOLDER", str(tmp_path)))
    with pytest.raises(InputError):
        np.asarray(open_image(tmp_path / name).data)
    assert requests == []


@pytest.mark.parametrize(
    ("name", "content"), [("a.kml", OGR_VRT), ("a.gml", OGR_VRT), ("a.gpkg", WFS), ("b.kml", WFS)]
)
def test_shapes_name_addresses_in_vain(tmp_path, server, name, content):
    url, requests = server
    (tmp_path / name).write_text(content.replace("URL", url))
    with pytest.raises(InputError):
        read_annotations(tmp_path / name, MAP)
    assert requests == []


def test_a_schema_is_not_fetched(tmp_path, server):
    url, requests = server
    (tmp_path / "a.gml").write_text(GML.replace("URL", url))
    (drawing,) = read_annotations(tmp_path / "a.gml", MAP).drawings
    np.testing.assert_allclose(drawing.rings[0], [[11.5, 9.5]])
    assert requests == []


def test_a_local_virtual_raster_is_read(tmp_path):
    import rasterio

    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(1, 64, 64)
    settings = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "a.tif", "w", **settings, transform=rasterio.Affine(1, 0, 5, 0, -1, 7)
    ) as file:
        file.write(pixels)
    (tmp_path / "a.vrt").write_text(VRT.format(tmp_path / "a.tif"))
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.vrt").data), pixels[0])


class Trap:
    """An object whose unpickling leaves a folder behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("dtype", ["|u1", "|O"])
def test_chunks_of_a_zarr_are_not_unpickled(tmp_path, place, dtype):
    codec = {"id": "pickle", "protocol": 5}
    sizes = {"shape": [3, 32, 32], "chunks": [3, 32, 32], "order": "C", "fill_value": 0}
    codecs = {"filters": None, "compressor": None} | {
        place: [codec] if place == "filters" else codec
    }
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    (folder / ".zarray").write_text(
        json.dumps({"zarr_format": 2, "dtype": dtype, **sizes, **codecs})
    )
    (folder / "0.0.0").write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
    with pytest.raises(InputError):
        np.asarray(open_image(folder).data[0])
    assert not (tmp_path / "trap").exists()
