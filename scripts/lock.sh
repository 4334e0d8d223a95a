#!/usr/bin/env bash
# Resolve pyproject.toml into the two lock files, with the hash of every file that may be installed:
# requirements.lock for development and tests, requirements-runtime.lock for the image (no dev tools).
# Needs uv. Give "--upgrade" to take newer versions; without it, versions that are locked stay.
set -euo pipefail
cd "$(dirname "$0")/.."

uv="$(command -v uv || true)"
if [ -z "$uv" ] && [ -x .venv/bin/uv ]; then uv=.venv/bin/uv; fi
if [ -z "$uv" ]; then
  echo "uv is needed to make the lock files: pip install uv" >&2
  exit 78
fi

options=(--quiet --universal --python-version 3.11 --generate-hashes
  --no-emit-index-url --no-emit-find-links --no-header)
"$uv" pip compile "${options[@]}" "$@" --extra dev -o requirements.lock pyproject.toml requirements-build.in
"$uv" pip compile "${options[@]}" -c requirements.lock -o requirements-runtime.lock \
  pyproject.toml requirements-build.in
