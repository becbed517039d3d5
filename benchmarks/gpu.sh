#!/usr/bin/env bash
# One run on a GPU of at most 10 minutes: training of `lite` at full strength, then speed.
#
#     VRP_SAM_DATA=... benchmarks/gpu.sh OUTPUT
#     benchmarks/gpu.sh OUTPUT rehearsal      # tiny settings on the CPU, a few minutes
#
# TRAINING_SETS names the datasets to train on, separated by spaces (default: all `train` datasets).
# Results (JSON), logs and trained weights are written to the folder OUTPUT. A part that fails or
# takes too long does not stop the others; the exit status is then 1.
set -uo pipefail

output=$(realpath -m "${1:?give a folder for the results}")
benchmarks=$(realpath "$(dirname "$0")")
shipped=$benchmarks/../src/napari_vrp_sam/models/weights/lite.safetensors
mkdir -p "$output"
failed=0

part() { # NAME SECONDS COMMAND...
  local name=$1 seconds=$2
  shift 2
  SECONDS=0
  if timeout "$seconds" "$@" > "$output/$name.log" 2>&1; then
    elapsed=$SECONDS
    echo "$name: done in $elapsed s"
  else
    elapsed=0
    echo "$name: failed after $SECONDS s, see $output/$name.log"
    failed=1
  fi
}

train() { # NAME SECONDS OPTION...
  local name=$1 seconds=$2
  shift 2
  part "$name" "$seconds" vrp-sam train lite --output "$output/$name.safetensors" \
    --initial "$shipped" --references 1 --references 2 "$@"
}

if [ "${2:-}" = rehearsal ]; then
  device=cpu size=128 models=tiny speed=(--frames 2 --batches 1)
  settings=(--device cpu --precision bf16 --size 64 --batch-size 2 --workers 0)
  few=1 many=3 budget=2 limit=600
else
  device=cuda size=1024 models=vit_b,vit_h speed=(--batches 1,8 --compiled-batches 8)
  settings=(--device cuda --precision bf16 --size 256 --batch-size 32 --workers 12)
  settings+=(--learning-rate 1e-4 --backbone-rate 0.03)
  for name in ${TRAINING_SETS:-train}; do settings+=(--data "$name"); done
  few=5 many=105 budget=240 limit=150
fi
# The schedule ends at a learning rate of zero, so the number of steps has to be known before. The
# difference of two short runs is the time of the steps, without that of starting.
train few-steps 120 "${settings[@]}" --steps $few
start=$elapsed
train many-steps 150 "${settings[@]}" --steps $many
between=$((elapsed > start ? elapsed - start : 1))
steps=$(((many - few) * budget / between))
train lite-trained $((2 * budget + 120)) "${settings[@]}" --steps $((steps > 1 ? steps : 2)) \
  --keep-initial 0.5
rm -r "$output"/{few,many}-steps.safetensors*
part lite-speed 120 python "$benchmarks/lite_speed.py" --device $device --size $size --turns 3 \
  --json "$output/lite-speed.json"
# Parts of the time and the attention kernel beside PyTorch's are in this file, too.
part full-size-speed $limit python "$benchmarks/speed.py" --models $models --device $device \
  --size $size "${speed[@]}" --json "$output/speed.json"
# None are collected without a GPU.
[ $device = cpu ] || part tests 120 python -m pytest -q "$benchmarks/../tests/gpu"
exit $failed
