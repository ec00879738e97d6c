#!/usr/bin/env bash
# What aslx does on a GPU, in eight minutes: trains, saves, profiles, resumes, compares its losses with a CPU's, and
# times steps beside what was computed for them. Needs a `python` with jax for CUDA, and what `make gpu-bundle` made.
# Writes OUT/figures.jsonl, one line a part as soon as it is known, and each part's output beside it.
set -uo pipefail
usage="usage: benchmarks/on_gpu.sh [--dry-run] [BUNDLE [OUT]]   (--dry-run: small, on a CPU)"
dry=false; if [[ ${1:-} == --dry-run ]]; then dry=true; shift; fi
if [[ $# -gt 2 || ${1:-} == -* ]]; then echo "$usage" >&2; exit 2; fi
bundle=${1:-build/gpu-bundle} out=${2:-${OUT:-build/on_gpu}} limit=480
if [[ ! -d $bundle/data ]]; then echo "error: $bundle holds no bundle: run make gpu-bundle" >&2; exit 2; fi
mkdir -p "$out"; figures=$out/figures.jsonl; : >"$figures"
if $dry; then export JAX_PLATFORMS=cpu limit=100000; fi
packages=$(mktemp -d); trap 'rm -rf "$packages"' EXIT
export PYTHONPATH=$PWD:$packages JAX_COMPILATION_CACHE_DIR=$out/cache

part() { # NAME COMMAND...: runs it in what is left of the time, and notes how it ended. Does not stop the others.
  local name=$1 begin=$SECONDS left=$((limit - SECONDS)) rc=0; shift
  if ((left < 5)); then rc=-1; else timeout "$left" "$@" >"$out/$name.txt" 2>&1 || rc=$?; fi
  grep -h '^{"benchmark"' "$out/$name.txt" >>"$figures" 2>/dev/null || true
  echo "{\"part\": \"$name\", \"status\": $rc, \"seconds\": $((SECONDS - begin))}" | tee -a "$figures"
}
# One shape, so that one program is compiled; a learning rate that does not depend on the epochs to come.
train=(python -m aslx.train --config configs/quickstart.py --data.path "$bundle/data" --data.batching.buckets 1
  --log-every 1 --eval-every 10 --save-every 10)
step=(python -m benchmarks.gpu_step)
[[ -f $bundle/compiled.jsonl ]] && step+=(--compiled "$bundle/compiled.jsonl")

part install python -m pip install -q --no-index --no-deps --target "$packages" "$bundle"/wheels/*.whl
part train "${train[@]}" --workdir "$out/run" --epochs 10 --profile 5
part resume "${train[@]}" --workdir "$out/run" --epochs 12
part train-cpu env JAX_PLATFORMS=cpu "${train[@]}" --workdir "$out/run-cpu" --epochs 10
part losses python - "$out/run/metrics.jsonl" "$out/run-cpu/metrics.jsonl" <<'PYTHON'
import json, sys
one, other = ({x["step"]: x["loss"] for x in map(json.loads, open(path)) if "loss" in x} for path in sys.argv[1:])
both = sorted(one.keys() & other.keys())
far = max(abs(one[i] / other[i] - 1) for i in both)
print(json.dumps({"benchmark": "losses", "steps": len(both), "greatest_relative_difference": far}))
PYTHON
if $dry; then
  part quickstart "${step[@]}" --config quickstart --batch-per-chip 8 --frames 64 --steps 1 --turns 1
else
  for rows in 88 704; do
    part "squeezeformer-$rows" "${step[@]}" --config squeezeformer --batch-per-chip "$rows"
    part "squeezeformer-$rows-trips" "${step[@]}" --config squeezeformer --batch-per-chip "$rows" --no-graphs
  done
  part quickstart "${step[@]}" --config quickstart
fi
! grep -q '"status": [^0]' "$figures"
