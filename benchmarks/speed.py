"""Speed of full-size models, side by side with the plain way, in one run.

    python benchmarks/speed.py --models vit_b,vit_h --device cuda --json speed.json
    python benchmarks/speed.py --models vit_b --device cpu --frames 3 --json speed.json

The plain way is `napari_vrp_sam.research.protocols.plain_flow`. Weights are random: the speed is the same.
The file is written anew after every figure, and a variant that fails says so in its place.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed_parts import attention_variants, closeness, counted_flops, matrix_peak, parts, sam_of

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import build_semantic_encoder
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.research.protocols.plain_flow import PlainFlow
from napari_vrp_sam.research.protocols.speed import machine

WHOLE_RANGE = Normalisation((0,) * 3, (255,) * 3)


def main() -> None:
    """Measure what the command line asks for."""
    options = arguments()
    device = torch.device(options.device)
    results: dict[str, Any] = {"machine": machine(str(device)), "size": options.size, "models": {}}
    keep = partial(write, options.json, results)
    began = time.perf_counter()
    if device.type == "cuda":
        attempt(results, "matrix_peak_tflops", lambda: matrix_peak(device), keep)
    stack, truth = frames_of(options.size, options.frames)
    for name in options.models.split(","):
        if time.perf_counter() - began > options.seconds:
            print(f"{name}: no time is left", flush=True)
            continue
        of_model = results["models"][name] = {}
        model = random_model(name, device)
        measure(model, stack, truth, of_model, options, keep)
        del model
        if device.type == "cuda":
            torch.cuda.empty_cache()
    results["seconds"] = time.perf_counter() - began
    keep()


def measure(
    model: FullSizeModel,
    stack: np.ndarray,
    truth: np.ndarray,
    found: dict[str, Any],
    options: argparse.Namespace,
    keep: Callable[[], None],
) -> None:
    """All figures of one model."""
    device = torch.device(options.device)
    flops = attempt(found, "flops_per_frame", lambda: counted_flops(model), keep)
    if "closeness" in options.steps:
        attempt(found, "closeness", lambda: closeness(model), keep)
    if "plain" in options.steps:
        attempt(found, "plain", lambda: plain(model, stack, truth, options, device), keep)
    runs = found["runs"] = []
    variants = itertools.product(
        options.pseudo_masks.split(","),
        options.precisions.split(","),
        [(False, int(batch)) for batch in options.batches.split(",")]
        + [(True, int(batch)) for batch in options.compiled_batches.split(",") if batch],
    )
    for pseudo_mask, precision, (compiled, batch) in variants:
        entry = {
            "pseudo_mask": pseudo_mask,
            "precision": precision,
            "compiled": compiled,
            "batch": batch,
        }
        runs.append(entry)
        model.pseudo_mask = pseudo_mask
        attempt(entry, "result", lambda e=entry: ours(model, stack, truth, e, device), keep)
        rate = (entry.get("result") or {}).get("frames_per_second")
        if rate and flops:
            entry["tflops"] = rate * flops["total"] / 1e12
            keep()
    if "quality" in options.steps:
        attempt(found, "quality", lambda: quality(model, stack, truth, device), keep)
    if device.type == "cuda" and "parts" in options.steps:
        for compiled in (False, True) if options.compiled_batches else (False,):
            measured = partial(parts, model, options.size, 8, compiled=compiled)
            attempt(found, "parts_compiled" if compiled else "parts", measured, keep)
    if device.type == "cuda" and "attention" in options.steps:
        attempt(found, "attention", lambda: attention_variants(model, 8), keep)


def plain(
    model: FullSizeModel,
    stack: np.ndarray,
    truth: np.ndarray,
    options: argparse.Namespace,
    device: torch.device,
) -> dict[str, float]:
    """The plain way, one frame after the other."""
    flow = PlainFlow(model)
    reset(device)
    run = partial(flow.predict, reference=stack[0], mask=truth[0] > 0)
    run(stack[1])
    times = []
    for frame in stack[1 : 1 + options.plain_frames]:
        start = time.perf_counter()
        run(frame)  # ends on the CPU, and so with the work of the GPU
        times.append(time.perf_counter() - start)
    return figures(float(np.median(times)), device)


def ours(
    model: FullSizeModel,
    stack: np.ndarray,
    truth: np.ndarray,
    variant: dict[str, Any],
    device: torch.device,
) -> dict[str, float]:
    """Frames through `Predictor.predict_stream`, reading and results included."""
    reset(device)
    start = time.perf_counter()
    predictor = learned(model, stack, truth, device, variant)
    learning = time.perf_counter() - start
    warm = min(len(stack), 4 * variant["batch"])
    start = time.perf_counter()
    consume(predictor.predict_stream(stack[:warm], probabilities=False))
    warming = time.perf_counter() - start
    rates = {}
    for wanted in (False, True):
        start = time.perf_counter()
        count = consume(predictor.predict_stream(iter(stack), probabilities=wanted))
        rates[wanted] = (time.perf_counter() - start) / count
    cached = float("nan")
    if device.type == "cpu":
        features = predictor.encode(stack[1])
        start = time.perf_counter()
        predictor.decode(features)
        cached = time.perf_counter() - start
    return figures(rates[False], device) | {
        "seconds_per_frame_with_probabilities": rates[True],
        "cached_seconds_per_frame": None if np.isnan(cached) else cached,
        "seconds_to_learn": learning,
        "seconds_to_warm_up": warming,
    }


def quality(
    model: FullSizeModel, stack: np.ndarray, truth: np.ndarray, device: torch.device
) -> dict[str, float]:
    """How far the masks of half precision are those of single precision, and of the plain way.

    IoU of what lies above the median of single precision: weights are random, so the threshold of a
    half means nothing.
    """
    frames = stack[1:5]
    result: dict[str, float] = {}
    for pseudo_mask in ("probe", "correlation"):
        model.pseudo_mask = pseudo_mask
        found = {}
        for precision in ("float32", "auto"):
            variant = {"precision": precision, "batch": 4 if precision == "auto" else 1}
            stream = learned(model, stack, truth, device, variant).predict_stream(frames)
            found[precision] = np.stack([probabilities[0] for _, probabilities in stream])
        result[f"half_{pseudo_mask}"] = overlap(found["float32"], found["auto"])
    flow = PlainFlow(model)
    plainly = np.stack([flow.logits(f, stack[0], truth[0] > 0) for f in frames])
    expected = 1 / (1 + np.exp(-plainly))
    result["plain_and_float32"] = overlap(expected, found["float32"])
    result["plain_and_half"] = overlap(expected, found["auto"])
    result["largest_difference_to_plain"] = float(np.abs(expected - found["float32"]).max())
    return result


def overlap(expected: np.ndarray, found: np.ndarray) -> float:
    """IoU over frames (N, Y, X) of what lies above the expected median."""
    level = np.median(expected, axis=(1, 2), keepdims=True)
    first, second = expected > level, found > level
    return float((first & second).sum() / max(1, (first | second).sum()))


def learned(
    model: FullSizeModel,
    stack: np.ndarray,
    truth: np.ndarray,
    device: torch.device,
    variant: dict[str, Any],
) -> Predictor:
    """A predictor that knows the first frame's annotation."""
    predictor = Predictor(
        model,
        device=device,
        precision=variant["precision"],
        compile=variant.get("compiled", False),
        batch=variant["batch"],
    )
    predictor.set_references([reference_of(stack, truth)], WHOLE_RANGE)
    return predictor


def reference_of(stack: np.ndarray, truth: np.ndarray) -> Reference:
    return Reference(stack[0], truth[0] > 0, frame=0)


def frames_of(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Generated tissue, repeated to the size, in three equal channels; and its objects."""
    stack, truth = sample_stack(size=256, frames=min(count + 1, 8))
    times = -(-size // 256)
    stack = np.tile(stack, (1, times, times))[:, :size, :size, None].repeat(3, axis=-1)
    truth = np.tile(truth, (1, times, times))[:, :size, :size]
    order = np.arange(count + 1) % len(stack)
    return stack[order], truth[order]


def random_model(name: str, device: torch.device) -> FullSizeModel:
    """With random weights, relative positions too, which start from zero otherwise."""
    torch.manual_seed(0)
    with torch.device(device):
        sam = sam_of(name)
        semantic = build_semantic_encoder("resnet50")
        encoder = VRPEncoder(sum(semantic.channels[:2]), sam.prompt_encoder.embed_dim)
        for parameter_name, parameter in sam.image_encoder.named_parameters():
            if "pos" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.1)
    # Some constants of SAM are made on the CPU all the same.
    return FullSizeModel(name, sam, semantic, encoder).eval().to(device)


def figures(seconds: float, device: torch.device) -> dict[str, float]:
    """Seconds of a frame as they are told."""
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    return {
        "seconds_per_frame": seconds,
        "frames_per_second": 1 / seconds,
        "peak_memory_bytes": memory,
    }


def consume(results: Iterator[Any]) -> int:
    return sum(1 for _ in results)


def reset(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def attempt(
    into: dict[str, Any], key: str, step: Callable[[], Any], keep: Callable[[], None]
) -> Any:
    """Keep what a step gives, or why it failed."""
    start = time.perf_counter()
    try:
        into[key] = step()
    except Exception as error:
        into[key] = None
        into[f"{key}_error"] = f"{type(error).__name__}: {error}"[:500]
        traceback.print_exc()
    print(f"{time.perf_counter() - start:6.1f} s  {key}: {into[key]}", flush=True)
    keep()
    return into[key]


def write(path: Path, results: dict[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="vit_b")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=64, help="of the stack")
    parser.add_argument("--plain-frames", type=int, default=8)
    parser.add_argument("--batches", default="8")
    parser.add_argument("--precisions", default="auto")
    parser.add_argument("--pseudo-masks", default="probe")
    parser.add_argument("--compiled-batches", default="", help="with torch.compile and CUDA graphs")
    parser.add_argument(
        "--steps", default="closeness,plain,quality,parts,attention", help="beside the runs"
    )
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no model after these")
    parser.add_argument("--json", type=Path, default=Path("speed.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
