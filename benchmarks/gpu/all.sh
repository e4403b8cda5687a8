#!/usr/bin/env bash
# What is to be seen on a GPU, in parts that end within ten minutes each:
#
#     bash benchmarks/gpu/all.sh PART [OUT]     # tests smoke speed pixels large learn; all: one after the other
#
# From the repository's root, with a Python (PYTHON, default python3) that has a CUDA build of torch and Tandem's other packages.
# Results go to OUT (default runs/gpu). docs/speed.md says what is expected.
set -uo pipefail
part=${1:?which part: tests smoke speed pixels large learn all}
out=$(mkdir -p "${2:-runs/gpu}" && cd "${2:-runs/gpu}" && pwd)
python=${PYTHON:-python3}
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
[ -e "$out/path/tandem" ] || { mkdir -p "$out/path" && ln -sfn "$root" "$out/path/tandem"; }
export PYTHONPATH="$out/path${PYTHONPATH:+:$PYTHONPATH}" MUJOCO_GL=${MUJOCO_GL:-egl}
coupled="mode=coupled allocator.name=coupled envs.heldout_share=0"

limited() { # limited SECONDS NAME COMMAND...
    local seconds=$1 name=$2
    shift 2
    echo "== $name"
    timeout "$seconds" "$@" 2>&1 | tee "$out/$name.log" | tail -n 40
    echo "== $name: exit ${PIPESTATUS[0]}"
}

case $part in
tests)
    nvidia-smi | head -n 15
    limited 560 tests "$python" -m pytest tests/training/test_gpu.py -m "slow or not slow" --durations=10
    ;;
smoke)
    rm -rf "$out/decoupled" "$out/coupled"
    limited 150 smoke "$python" train.py smoke device=cuda run.dir="$out/decoupled"
    limited 150 smoke_resumed "$python" train.py --resume "$out/decoupled" budget.total=1_800
    # shellcheck disable=SC2086
    limited 150 smoke_coupled "$python" train.py smoke device=cuda $coupled run.dir="$out/coupled"
    ;;
speed)
    limited 330 speed "$python" benchmarks/gpu/executions.py --json "$out/speed.json"
    TORCHDYNAMO_DISABLE=1 limited 200 speed_not_compiled "$python" benchmarks/gpu/executions.py --executions graph --json "$out/speed_not_compiled.json"
    ;;
pixels)
    limited 560 pixels "$python" benchmarks/gpu/executions.py --sizes size_12m --observations pixels --modes coupled --json "$out/pixels.json"
    ;;
large)
    limited 560 large "$python" benchmarks/gpu/executions.py --sizes size_200m --observations pixels --modes coupled --executions eager,graph --updates 10 --json "$out/large.json"
    ;;
learn)
    # SIGTERM saves a checkpoint; again goes on where it stopped.
    if [ -e "$out/walker/config.yaml" ]; then
        limited 560 learn "$python" train.py --resume "$out/walker"
    else
        limited 560 learn "$python" train.py dreamerv3 task=dmc_walker_walk device=cuda run.dir="$out/walker"
    fi
    ;;
all)
    for one in tests smoke speed pixels large learn; do bash "$0" "$one" "$out"; done
    ;;
*)
    echo "no such part: $part" >&2
    exit 2
    ;;
esac
