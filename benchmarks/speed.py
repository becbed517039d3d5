"""Speed of full-size models, compared with the unoptimised pipeline of the paper's code.

    python benchmarks/speed.py --models vit_b,vit_h --device cuda --json speed.json
    python benchmarks/speed.py --models vit_b --device cpu --frames 3 --json speed.json

In the results, "plain" refers to `UnoptimisedPipeline`. Weights are random, which does not affect
the speed. The file is updated after each measurement; errors are recorded in it.
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
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import build_semantic_encoder
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.research.protocols.plain_flow import UnoptimisedPipeline
from napari_vrp_sam.research.protocols.speed import describe_machine, tiled_samples

FULL_RANGE = Normalisation((0,) * 3, (255,) * 3)


def main() -> None:
    """Run the measurements chosen on the command line."""
    options = arguments()
    device = torch.device(options.device)
    results: dict[str, Any] = {
        "machine": describe_machine(str(device)),
        "size": options.size,
        "models": {},
    }
    keep = partial(write, options.json, results)
    began = time.perf_counter()
    if device.type == "cuda":
        attempt(results, "matrix_peak_tflops", lambda: matrix_peak(device), keep)
    stack, labels = frames_of(options.size, options.frames)
    for name in options.models.split(","):
        if time.perf_counter() - began > options.seconds:
            print(f"{name}: skipped, no time left", flush=True)
            continue
        of_model: dict[str, Any] = {}
        results["models"][name] = of_model
        model = random_model(name, device)
        measure(model, stack, labels, of_model, options, keep)
        del model
        if device.type == "cuda":
            torch.cuda.empty_cache()
    results["seconds"] = time.perf_counter() - began
    keep()


def measure(
    model: FullSizeModel,
    stack: np.ndarray,
    labels: np.ndarray,
    found: dict[str, Any],
    options: argparse.Namespace,
    keep: Callable[[], None],
) -> None:
    """Measure one model."""
    device = torch.device(options.device)
    flops = attempt(found, "flops_per_frame", lambda: counted_flops(model), keep)
    if "closeness" in options.steps:
        attempt(found, "closeness", lambda: closeness(model), keep)
    if "plain" in options.steps:
        attempt(found, "plain", lambda: plain(model, stack, labels, options, device), keep)
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
        run = partial(optimised, model, stack, labels, entry, device)
        attempt(entry, "result", run, keep)
        rate = (entry.get("result") or {}).get("frames_per_second")
        if rate and flops:
            entry["tflops"] = rate * flops["total"] / 1e12
            keep()
    if "quality" in options.steps:
        attempt(found, "quality", lambda: quality(model, stack, labels, device), keep)
    if device.type == "cuda" and "parts" in options.steps:
        for compiled in (False, True) if options.compiled_batches else (False,):
            measured = partial(parts, model, options.size, 8, compiled=compiled)
            attempt(found, "parts_compiled" if compiled else "parts", measured, keep)
    if device.type == "cuda" and "attention" in options.steps:
        attempt(found, "attention", lambda: attention_variants(model, 8), keep)


def plain(
    model: FullSizeModel,
    stack: np.ndarray,
    labels: np.ndarray,
    options: argparse.Namespace,
    device: torch.device,
) -> dict[str, float | None]:
    """Measure the unoptimised pipeline."""
    pipeline = UnoptimisedPipeline(model)
    reset(device)
    run = partial(pipeline.predict, reference=stack[0], mask=labels[0] > 0)
    run(stack[1])
    times = []
    for frame in stack[1 : 1 + options.plain_frames]:
        start = time.perf_counter()
        run(frame)  # returns NumPy arrays, which synchronises
        times.append(time.perf_counter() - start)
    return summary(float(np.median(times)), device)


def optimised(
    model: FullSizeModel,
    stack: np.ndarray,
    labels: np.ndarray,
    variant: dict[str, Any],
    device: torch.device,
) -> dict[str, float | None]:
    """Measure `Predictor.predict_stream`."""
    reset(device)
    start = time.perf_counter()
    predictor = make_predictor(model, stack, labels, device, variant)
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
    return summary(rates[False], device) | {
        "seconds_per_frame_with_probabilities": rates[True],
        "cached_seconds_per_frame": None if np.isnan(cached) else cached,
        "seconds_to_learn": learning,
        "seconds_to_warm_up": warming,
    }


def quality(
    model: FullSizeModel, stack: np.ndarray, labels: np.ndarray, device: torch.device
) -> dict[str, float]:
    """Compare masks in half precision with those in single precision and of `UnoptimisedPipeline`.

    Masks are thresholded at the median of single precision, because weights are random.
    """
    frames = stack[1:5]
    result: dict[str, float] = {}
    for pseudo_mask in ("probe", "correlation"):
        model.pseudo_mask = pseudo_mask
        found = {}
        for precision in ("float32", "auto"):
            variant = {"precision": precision, "batch": 4 if precision == "auto" else 1}
            stream = make_predictor(model, stack, labels, device, variant).predict_stream(frames)
            found[precision] = np.stack([prediction.probabilities[0] for prediction in stream])
        result[f"half_{pseudo_mask}"] = overlap(found["float32"], found["auto"])
    pipeline = UnoptimisedPipeline(model)
    logits = np.stack([pipeline.logits(f, stack[0], labels[0] > 0) for f in frames])
    expected = 1 / (1 + np.exp(-logits))
    result["plain_and_float32"] = overlap(expected, found["float32"])
    result["plain_and_half"] = overlap(expected, found["auto"])
    result["largest_difference_to_plain"] = float(np.abs(expected - found["float32"]).max())
    return result


def overlap(expected: np.ndarray, found: np.ndarray) -> float:
    """Compute the IoU of frames (N, Y, X), thresholded at the median of the expected ones."""
    level = np.median(expected, axis=(1, 2), keepdims=True)
    first, second = expected > level, found > level
    return float((first & second).sum() / max(1, (first | second).sum()))


def make_predictor(
    model: FullSizeModel,
    stack: np.ndarray,
    labels: np.ndarray,
    device: torch.device,
    variant: dict[str, Any],
) -> Predictor:
    """Return a predictor with the first frame as its reference."""
    predictor = Predictor(
        model,
        device=device,
        precision=variant["precision"],
        compile=variant.get("compiled", False),
        batch=variant["batch"],
    )
    predictor.set_references([Reference(stack[0], labels[0] > 0, frame=0)], FULL_RANGE)
    return predictor


def frames_of(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return synthetic tissue (N, size, size, 3) and its labels (N, size, size)."""
    stack, labels = tiled_samples(size, min(count + 1, 8), first=0)
    stack = stack.repeat(3, axis=-1)
    order = np.arange(count + 1) % len(stack)
    return stack[order], labels[order]


def random_model(name: str, device: torch.device) -> FullSizeModel:
    """Build a model with random weights, including position embeddings, which default to zero."""
    torch.manual_seed(0)
    with torch.device(device):
        sam = sam_of(name)
        semantic = build_semantic_encoder("resnet50")
        encoder = VRPEncoder(sum(semantic.channels[:2]), sam.prompt_encoder.embed_dim)
        for parameter_name, parameter in sam.image_encoder.named_parameters():
            if "pos" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.1)
    # Some constants of SAM are created on the CPU regardless of the device.
    return FullSizeModel(name, sam, semantic, encoder).eval().to(device)


def summary(seconds: float, device: torch.device) -> dict[str, float | None]:
    """Return seconds and frames per second, and the peak memory on a GPU."""
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
    """Record the result of a step, or its error."""
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
    parser.add_argument("--frames", type=int, default=64, help="number of frames")
    parser.add_argument("--plain-frames", type=int, default=8)
    parser.add_argument("--batches", default="8")
    parser.add_argument("--precisions", default="auto")
    parser.add_argument("--pseudo-masks", default="probe")
    parser.add_argument(
        "--compiled-batches", default="", help="batch sizes with torch.compile and CUDA graphs"
    )
    parser.add_argument(
        "--steps", default="closeness,plain,quality,parts,attention", help="additional measurements"
    )
    parser.add_argument("--seconds", type=float, default=1e9, help="start no model later")
    parser.add_argument("--json", type=Path, default=Path("speed.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
