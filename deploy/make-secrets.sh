#!/usr/bin/env bash
# Make what compose.yaml needs: an API key of operators, the workers' secret, and a certificate for their names.
# Writes deploy/secrets/ (or the folder given), readable by its owner; what is there already is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="${1:-deploy/secrets}"
rebate="${REBATE:-.venv/bin/rebate}"
umask 077
mkdir -p "$folder/keys"

if [ ! -s "$folder/cluster_secret" ]; then
  printf 'a:%s' "$(openssl rand -hex 32)" > "$folder/cluster_secret"
fi
if [ ! -s "$folder/operators.token" ]; then
  "$rebate" keys new --id operators --name operators --scope admin > "$folder/operators.token" 2> "$folder/entry"
  sed -n '/^\[\[key\]\]/,$p' "$folder/entry" >> "$folder/keys/keys.toml"
  rm "$folder/entry"
fi
if [ ! -s "$folder/tls.crt" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
    -keyout "$folder/tls.key" -out "$folder/tls.crt" -subj "/CN=taoke-rebate" \
    -addext "subjectAltName=DNS:worker-1,DNS:worker-2,DNS:localhost,IP:127.0.0.1" 2>/dev/null
fi
"$rebate" keys check "$folder/keys/keys.toml"
echo "Made $folder; commands need REBATE_TOKEN_FILE=$folder/operators.token and REBATE_WEB_CA=$folder/tls.crt"
