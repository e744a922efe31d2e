# Sourced by the scripts beside it: makes .venv from requirements.txt once, and again whenever that file changes.
# PYTHON names another interpreter than python3.11.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
wanted=$(cat requirements*.txt pyproject.toml | sha256sum)
if [ ! -x "$python" ] || [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
  base=${PYTHON:-$(command -v python3.11 || command -v python3)} && [ -n "$base" ] || { echo "shipseg needs Python 3.11 or newer: install it first" >&2; exit 1; }
  "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "shipseg needs Python 3.11 or newer, found $("$base" --version)" >&2; exit 1; }
  if ! "$base" -m venv .venv >/dev/null 2>&1; then
    # Debian and Ubuntu keep venv in a package of its own.
    echo "installing python3-venv" >&2
    rm -rf .venv
    apt_get="apt-get"; [ "$(id -u)" = 0 ] || apt_get="sudo apt-get"
    { $apt_get update -qq && $apt_get install -y -qq python3-venv; } >/dev/null || { echo "python3-venv is missing and could not be installed: run  apt-get install python3-venv" >&2; exit 1; }
    "$base" -m venv .venv
  fi
  echo "installing shipseg into .venv (about two minutes)" >&2
  # Quiet twice: warnings, such as one for each place where pip looked in vain, are left out; errors are shown.
  pip_install() { "$python" -m pip install --quiet --quiet --disable-pip-version-check --no-deps "$@"; }
  # Where the CPU build of torch can be had, it is taken: it is a tenth of the size. It satisfies requirements.txt.
  pip_install --require-hashes -r requirements-cpu.txt 2>/dev/null || true
  pip_install --require-hashes -r requirements.txt
  # A torch that was built for CUDA, the usual one for Linux, cannot be imported without CUDA's libraries.
  if grep -qs '^Requires-Dist: nvidia' .venv/lib/python3*/site-packages/torch-*.dist-info/METADATA; then
    echo "installing CUDA's libraries, which this build of torch needs" >&2
    pip_install --require-hashes -r requirements-cuda.txt
  fi
  pip_install --no-build-isolation --editable .
  "$python" -m pip check --disable-pip-version-check >/dev/null || { "$python" -m pip check >&2; exit 1; }
  echo "$wanted" > .venv/installed
fi
