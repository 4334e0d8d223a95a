#!/usr/bin/env bash
# Print the path of kcat, which tests use as a producer that is not ours; Debian's package is installed if it is missing.
set -euo pipefail
if ! command -v kcat >/dev/null; then
  "$(dirname "$0")/debian.sh" install kcat
fi
command -v kcat
