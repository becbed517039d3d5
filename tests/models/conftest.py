"""A SAM small enough to run in every test, and a server of weights files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from napari_vrp_sam.models.downloads import CACHE_VARIABLE

SIDE = 256
WIDTH = 64


def build_tiny_sam(seed: int = 0) -> Sam:
    """256 px, two blocks, width 64, random weights."""
    torch.manual_seed(seed)
    grid = SIDE // 16
    encoder = ImageEncoderViT(
        img_size=SIDE,
        depth=2,
        embed_dim=WIDTH,
        num_heads=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=7,
        global_attn_indexes=(1,),
        out_chans=WIDTH,
    )
    decoder = MaskDecoder(
        transformer_dim=WIDTH,
        transformer=TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=128, num_heads=4),
        iou_head_hidden_dim=WIDTH,
    )
    prompts = PromptEncoder(WIDTH, (grid, grid), (SIDE, SIDE), mask_in_chans=16)
    return Sam(encoder, prompts, decoder).eval()


@pytest.fixture(scope="session")
def tiny_sam() -> Sam:
    return build_tiny_sam()


@pytest.fixture(scope="session")
def make_tiny_sam() -> Callable[..., Sam]:
    return build_tiny_sam


class Server(ThreadingHTTPServer):
    """Serves `files` on the loopback address; of `cut.pth` only the beginning."""

    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        server: Server

        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            self.server.requests.append(name)
            if name not in self.server.files:
                self.send_error(404)
                return
            body = self.server.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:100] if name == "cut.pth" else body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A proxy would answer for the loopback address.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of downloaded weights."""
    folder = tmp_path / "cache" / "models"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder
