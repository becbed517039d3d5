"""Speed of `lite`: single steps, and whole frames in several variants.

    python benchmarks/lite_speed.py --device cuda --size 1024 --json lite-speed.json

Steps are timed separately; their sum exceeds the time of a frame if a GPU runs some concurrently.
Whole frames pass through `encode`, `prompt` and `decode`, from a frame to logits on the device:

- `float32`, `tf32`, `float16`, `bfloat16`: eager execution, in half precision by autocast.
- `... graph`: replay of a CUDA graph, which avoids the cost of launching kernels.
- `... compiled graph`: the same with probes, filters and backbone compiled by `torch.compile`.

Variants are measured in turn and compared with `float32`: `agreement` is the IoU of the two masks.
With `--baseline SRC` (the `src` folder of another checkout), its `float32` is measured, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.lite import network as lite_network
from napari_vrp_sam.models.lite.parts import SIMILARITY_LEVELS
from napari_vrp_sam.models.precision import half_precision_dtype
from napari_vrp_sam.models.probe.classical_features import intensities, structures
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.protocols.speed import tiled_samples

HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}
ON_GPU = (
    "float32,tf32,float16,bfloat16,float32 graph,tf32 graph,float16 graph,bfloat16 graph,"
    "tf32 compiled graph,float16 compiled graph"
)
Run = Callable[[], Any]


class LiteSubject:
    """`lite` with the reference of one class, and a target frame, on a device."""

    def __init__(self, device: str, size: int) -> None:
        self.device = torch.device(device)
        frames, labels = tiled_samples(size)
        normalisation = Normalisation.fit(list(frames))
        predictor = Predictor(load_model("lite"), device=device)
        start = time.perf_counter()
        predictor.set_references([Reference(frames[0], labels[0], frame=0)], normalisation)
        self.synchronise()
        self.seconds_to_learn = time.perf_counter() - start
        self.model: Any = predictor.model
        self.prepared = predictor.prepared
        planes = torch.from_numpy(normalisation.apply(frames[1])).to(self.device)
        self.frame = planes[None]

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @torch.no_grad()
    def segment(self) -> Tensor:
        """Compute the logits of the frame, shape (1, H, W)."""
        features = self.model.encode(self.frame)
        logits: Tensor = self.model.decode(features, self.model.prompt(features, self.prepared))
        return logits


def seconds_of(run: Run) -> float:
    """Return the shortest time of a call."""
    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=0.1).times)


@torch.no_grad()
def parts_of(subject: LiteSubject) -> dict[str, Run]:
    """Return the steps of processing a frame, by name."""
    model, network = subject.model, subject.model.network
    conditioning = subject.prepared[0].conditioning
    frame = subject.frame.contiguous(memory_format=torch.channels_last)
    features = model.encode(frame)
    prompts = model.prompt(features, subject.prepared)
    height, width = features.embedding.shape[-2:]
    semantic = network.semantic_features(features)
    belief = torch.rand(1, 1, height, width, device=subject.device)
    levels = [features.semantic[level] for level in SIMILARITY_LEVELS]
    backbone = getattr(network, "_folded", network.backbone)
    parts: dict[str, Run] = {
        "encode": lambda: model.encode(frame),
        "encode: backbone": lambda: backbone(frame),
        "encode: neck": lambda: network.neck(features.semantic),
        "encode: intensities": lambda: intensities(frame),
        "encode: structures": lambda: structures(frame),
        "prompt": lambda: model.prompt(features, subject.prepared),
        "prompt: bank": lambda: conditioning.bank.similarity(levels, (height, width)),
        "prompt: VRP encoder": lambda: [
            network.vrp_encoder.prompts(e, semantic, belief) for e in conditioning.encodings
        ],
        "decode": lambda: model.decode(features, prompts),
        "decode: mask decoder": lambda: network.decode(
            features, prompts.sparse, prompts.dense, prompts.pseudo_mask
        ),
    }
    for number, (probe, read) in enumerate(conditioning.probe.members):
        maps = [features.semantic[level] for level in read]
        logits = partial(probe.logits, maps, (4 * height, 4 * width))
        parts[f"prompt: {type(probe).__name__} {number}"] = logits
    return parts


@contextmanager
def arithmetic(subject: LiteSubject, kind: str) -> Iterator[None]:
    """Compute in the given precision, without gradients."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = kind != "float32"
    # Autocast's cache must not become part of a CUDA graph.
    half = torch.autocast(
        subject.device.type, HALF.get(kind), enabled=kind in HALF, cache_enabled=False
    )
    with torch.no_grad(), half:
        yield


@contextmanager
def compiled(wanted: bool) -> Iterator[None]:  # noqa: FBT001
    """Compile probes, filters and backbone within the context."""
    if not wanted:
        yield
        return
    from napari_vrp_sam.models.lite.backbone import FoldedBackbone
    from napari_vrp_sam.models.probe.perceptron import PerceptronProbe
    from napari_vrp_sam.models.probe.tree_tables import TreeTables

    places: list[tuple[Any, str]] = [
        (PerceptronProbe, "at_once"),
        (TreeTables, "__call__"),
        (FoldedBackbone, "_maps"),
        (lite_network, "intensities"),
        (lite_network, "structures"),
    ]
    before = [getattr(owner, name) for owner, name in places]
    for (owner, name), function in zip(places, before, strict=True):
        setattr(owner, name, torch.compile(function, dynamic=False))
    try:
        yield
    finally:
        for (owner, name), function in zip(places, before, strict=True):
            setattr(owner, name, function)


def recorded(run: Run) -> tuple[Run, Tensor]:
    """Record a CUDA graph of a call; return its replay function and its output tensor."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    return graph.replay, result


def whole_frames(subject: LiteSubject, variants: list[str], turns: int) -> dict[str, Any]:
    """Measure the seconds per frame and the agreement of each variant."""
    results: dict[str, Any] = {}
    runs: dict[str, Run] = {}
    expected = None
    for variant in variants:
        kind, *ways = variant.split()
        say(f"preparing {variant}")
        start = time.perf_counter()
        try:
            with arithmetic(subject, kind), compiled("compiled" in ways):
                if "graph" in ways:
                    runs[variant], logits = recorded(subject.segment)
                    runs[variant]()
                else:
                    logits = subject.segment()
                subject.synchronise()
                logits = logits.float().clone()
        except Exception as error:  # measure the other variants all the same
            traceback.print_exc()
            results[variant] = {"error": f"{type(error).__name__}: {error}"[:300]}
            continue
        expected = logits if expected is None else expected
        both, either = (logits > 0) & (expected > 0), (logits > 0) | (expected > 0)
        results[variant] = {
            "seconds_to_prepare": time.perf_counter() - start,
            "agreement": float(both.sum() / either.sum().clamp_min(1)),
            "largest_difference": float((logits.sigmoid() - expected.sigmoid()).abs().max()),
            "seconds_per_frame": [],
        }
        runs.setdefault(variant, subject.segment)
    for _ in range(turns):
        for variant, run in runs.items():
            kind, *ways = variant.split()
            with arithmetic(subject, kind), compiled("compiled" in ways and "graph" not in ways):
                results[variant]["seconds_per_frame"].append(seconds_of(run))
    for result in results.values():
        if result.get("seconds_per_frame"):
            result["frames_per_second"] = 1 / min(result["seconds_per_frame"])
    return results


def batches(subject: LiteSubject, sizes: list[int], kinds: list[str]) -> dict[str, Any]:
    """Measure the encoder's seconds per frame for each batch size."""
    found: dict[str, Any] = {}
    for kind in kinds:
        for size in sizes:
            frames = subject.frame.expand(size, -1, -1, -1).contiguous()
            with arithmetic(subject, kind):
                seconds = seconds_of(partial(subject.model.encode, frames)) / size
            found[f"{kind}, {size} at a time"] = seconds
    return found


def baseline_turn(source: str, arguments: argparse.Namespace) -> list[float]:
    """Measure the seconds per frame of another checkout."""
    command = [sys.executable, __file__, "--device", arguments.device, "--size"]
    command += [str(arguments.size), "--variants", "float32", "--turns", str(arguments.turns)]
    answer = subprocess.run(
        [*command, "--frames-only"],
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds: list[float] = json.loads(answer.stdout)["frames"]["float32"]["seconds_per_frame"]
    return seconds


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--variants", help="names separated by commas, see above")
    parser.add_argument("--batches", default="1,4,8")
    parser.add_argument("--baseline", help="src folder of another checkout")
    parser.add_argument("--frames-only", action="store_true", help="measure whole frames only")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    on_gpu = arguments.device.startswith("cuda")
    kinds = ["float32", "float16"] if on_gpu else ["float32"]
    if not on_gpu and half_precision_dtype(torch.device("cpu"), "auto"):
        kinds.append("bfloat16")
    usual = ON_GPU if on_gpu else ",".join(kinds)
    variants = [v.strip() for v in (arguments.variants or usual).split(",")]

    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "size": arguments.size,
    }
    if arguments.baseline:
        say("baseline, first turn")
        results["baseline"] = baseline_turn(arguments.baseline, arguments)
    subject = LiteSubject(arguments.device, arguments.size)
    results["seconds_to_learn"] = subject.seconds_to_learn
    if not arguments.frames_only:
        for kind in kinds:
            say(f"parts, {kind}")
            with arithmetic(subject, kind):
                parts = parts_of(subject)
                results[f"parts, {kind}"] = {k: seconds_of(run) for k, run in parts.items()}
        sizes = [int(b) for b in arguments.batches.split(",")]
        results["encode"] = batches(subject, sizes, kinds)
    results["frames"] = whole_frames(subject, variants, arguments.turns)
    if on_gpu:
        results["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    if arguments.baseline:
        say("baseline, second turn")
        results["baseline"] += baseline_turn(arguments.baseline, arguments)
    print(json.dumps(results, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
