# Sourced by test-wheel and test-lowest: tries an installed shipseg through its command line alone.

# smoke_test BIN [train] [geo] [cluster]: BIN is the folder of the command `shipseg`; each extra adds commands. What is
# written goes into a new folder below the current one.
smoke_test() {
  local shipseg extra
  shipseg=$(realpath "$1")/shipseg && shift
  (
    set -euo pipefail
    unset PYTHONPATH
    cd "$(mktemp -d -p "$PWD" smoke.XXXX)"
    quietly "$shipseg" synth made --images 2 --empty-share 0 --seed 7
    quietly "$shipseg" predict made/train_v2 --out ships
    [ "$(wc -l < ships/ships.csv)" -ge 2 ] || { echo "no ship was found on two images with ships" >&2; exit 1; }
    for extra in "$@"; do
      echo "trying $extra" >&2
      "_smoke_$extra"
    done
  )
}

_smoke_train() {
  quietly "$shipseg" synth small --images 24 --size 160 --empty-share 0.3 --seed 1
  quietly "$shipseg" prepare small dataset --size native
  quietly "$shipseg" train dataset run --recipe demo --train.epochs 1 --sampling.batches_per_epoch 2
  quietly "$shipseg" predict small/train_v2 --model run --out trained
  quietly "$shipseg" evaluate small scores --model run
  quietly "$shipseg" explore small explored
  quietly "$shipseg" export run ships.onnx
}

_smoke_geo() {
  quietly "$shipseg" synth world --scenes 1 --scene-size 1024 --seed 3
  quietly "$shipseg" predict world/scene-000.tif --out found
  [ -s found/scene-000/ships.gpkg ]
}

_smoke_cluster() { # the scene is that of geo
  quietly "$shipseg" predict world/scene-000.tif --engine ray --workers 1 --out found-by-ray
  cmp found/scene-000/ships.csv found-by-ray/scene-000/ships.csv
}

# Shows what a command printed only where it fails.
quietly() {
  "$@" > printed.txt 2>&1 || { cat printed.txt >&2; echo "failed: $*" >&2; return 1; }
}
