#!/usr/bin/env bash
# fathom on another device: builds it against a libtorch, then check.py does the rest.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bench/cuda/check.sh [--torch DIR] [--built DIR] [--jobs N] [--python PROGRAM]
                           [--device cuda|cpu] [OPTION of check.py ...]

Builds fathom against a libtorch, trains, resumes, decodes and exports every preset on the device,
large ones narrower, compares with the processor, and times it beside PyTorch: one JSON object of all
that in cuda-check.json, exit code 0 if nothing failed. Nothing of it needs a package of OpenBLAS.

  --torch DIR      where TorchConfig.cmake lies; default: $Torch_DIR, else that of the Python's torch,
                   else Debian's libtorch
  --built DIR      take this build, and build nothing
  --build-dir DIR  where to build; default: build/cuda
  --jobs N         compilers at a time; default: as many as there are processors
  --python PROGRAM the Python whose torch is the peer; default: python3
  --device NAME    cuda (the default), cuda:N, or cpu, which tries this script where there is no GPU:
                   the processor's kernels are compared with the definitions that any device computes
  --quick          few presets at tiny sizes, short times: minutes
  --long           train papingo_a100's whole recipe as well, beside its published numbers
  --only REGEX     the presets of which this is found in the name; `none`: no preset
  --list           print which presets would run, by which flags, and run none
  --no-times       measure nothing
  --output FILE    the JSON; default: cuda-check.json

bench/cuda/check.py --help has the rest. docs/cloud.md says how to have a machine for it.
END
}

root=$(cd "$(dirname "$0")/../.." && pwd)
torch=${Torch_DIR:-}
python=python3
built=""
folder=$root/build/cuda
jobs=$(nproc)
rest=()
while (($# > 0)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --torch | --built | --build-dir | --jobs | --python)
      if (($# < 2)); then usage >&2; exit 2; fi
      case $1 in
        --torch) torch=$2 ;;
        --built) built=$2 ;;
        --build-dir) folder=$2 ;;
        --jobs) jobs=$2 ;;
        --python) python=$2 ;;
      esac
      shift 2
      ;;
    *) rest+=("$1"); shift ;;
  esac
done

if [[ -z $built ]]; then
  if [[ -z $torch ]]; then
    torch=$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path + "/Torch")' 2>/dev/null) || torch=""
  fi
  options=(-S "$root" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON
    -DFATHOM_WERROR=OFF)
  if [[ -n $torch ]]; then options+=("-DTorch_DIR=$torch"); fi
  cmake "${options[@]}"
  cmake --build "$folder" --parallel "$jobs" --target fathom fathom-engine
  built=$folder
fi
exec "$python" "$root/bench/cuda/check.py" --fathom "$built/fathom" --torch "${torch:-Debian}" "${rest[@]}"
