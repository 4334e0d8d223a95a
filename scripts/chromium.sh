#!/usr/bin/env bash
# Print the path of Chromium, in which the page is tested; Debian's packages of it and of Chinese fonts are installed if
# it is missing.
set -euo pipefail

find_chromium() {
  command -v chromium || command -v chromium-browser || command -v google-chrome
}

if ! find_chromium; then
  "$(dirname "$0")/debian.sh" install chromium fonts-noto-cjk
  find_chromium
fi
