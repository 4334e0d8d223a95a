#!/usr/bin/env bash
# Print the path of promtool, which tests the alert rules: the one on the PATH, else the one of Debian's package
# `prometheus`, unpacked into .venv/tools (as root with apt-get; nothing is installed or started). Prometheus itself,
# which the operators' drill runs, is put beside it.
set -euo pipefail
cd "$(dirname "$0")/.."

tool="$PWD/.venv/tools/promtool"
if command -v promtool; then
  exit
fi
if [ ! -x "$tool" ]; then
  echo "Fetching promtool from Debian's package prometheus ..." >&2
  folder="$(mktemp -d)"
  trap 'rm -rf "$folder"' EXIT
  (cd "$folder" && "$OLDPWD/scripts/debian.sh" download prometheus && dpkg-deb --extract prometheus_*.deb .)
  mkdir -p "$(dirname "$tool")"
  mv "$folder/usr/bin/prometheus" "$(dirname "$tool")"
  mv "$folder/usr/bin/promtool" "$tool"
fi
echo "$tool"
