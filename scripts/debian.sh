#!/usr/bin/env bash
# Install Debian packages, or download one into the folder this is called in, as root with apt-get:
#   scripts/debian.sh install PACKAGE…      scripts/debian.sh download PACKAGE
# Tests ask for several at once, and apt-get refuses a second one: each waits its turn, and for others' apt-get.
set -euo pipefail

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "This needs root and apt-get: install ${*:2} yourself." >&2
  exit 69
fi
exec 9>"${TMPDIR:-/tmp}/rebate-apt.lock"
flock 9
export DEBIAN_FRONTEND=noninteractive
for _ in $(seq 30); do
  if apt-get update -q >&2; then break; fi
  sleep 2 # another apt-get holds the lists, or the network is away
done
case "$1" in
  install) apt-get -o DPkg::Lock::Timeout=240 install -q -y --no-install-recommends "${@:2}" >&2 ;;
  download) apt-get download -q "$2" >&2 ;;
  *) exit 64 ;;
esac
