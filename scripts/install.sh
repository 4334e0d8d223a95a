#!/usr/bin/env bash
# Make .venv what requirements.lock says, hash by hash, with the project itself in it (editable).
# Called by `make install` when the lock file or pyproject.toml is newer than the last success.
set -euo pipefail
cd "$(dirname "$0")/.."

# The first Python that is new enough and can make a virtual environment; $PYTHON before all others.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
        >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.11 or newer with venv is needed (on Debian: apt-get install python3-venv);" \
    "set PYTHON to where it is." >&2
  exit 78
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  python="$(find_python)"
  echo "Making .venv with $("$python" --version) ..." >&2
  "$python" -m venv --clear .venv
fi

pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input --quiet)
echo "Installing from requirements.lock ..." >&2
# The lock file is the whole resolution. With --no-deps pip does not resolve again: it would meet an extra such as
# coverage[toml], look at the newest release instead of the locked one, and refuse it for having no hash here.
"${pip[@]}" install --no-deps --require-hashes -r requirements.lock
"${pip[@]}" install --no-deps --no-build-isolation -e .
"${pip[@]}" check >&2 # what --no-deps does not look at
