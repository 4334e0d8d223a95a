#!/usr/bin/env bash
# Sends an order line and reads the buyer's balance, with curl and an API key.
# REBATE_URL, REBATE_TOKEN and the body in a file: balance.sh ORDER.json USER_ID
set -euo pipefail

url="${REBATE_URL:?}" order="$1" user_id="$2"
answer="$(mktemp)"
trap 'rm -f "$answer" "$answer.head"' EXIT

# Prints the body of an answer; a 503 is tried again after the time that it names, as is no answer at all.
# A problem (application/problem+json) goes to stderr: code, detail, each bad member, and the request id.
ask() {
  local attempt status wait
  for attempt in 1 2 3 4 5; do
    status="$(curl --silent --show-error --max-time 10 --output "$answer" --dump-header "$answer.head" \
      --write-out '%{http_code}' --header "Authorization: Bearer ${REBATE_TOKEN:?}" "$@")" || status=000
    if [ "$status" != 503 ] && [ "$status" != 000 ]; then break; fi
    wait="$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]*\).*/\1/p' "$answer.head" 2>/dev/null || true)"
    echo "try $attempt: $status, again in ${wait:-1} s" >&2
    sleep "${wait:-1}"
  done
  case "$status" in
    2*) cat "$answer" ;;
    000) echo "nobody answers at $url" >&2 && return 1 ;;
    *) cat "$answer" >&2 && return 1 ;;
  esac
}

# Repeating does no harm: the same fact counts once. wait_ms: the balance below holds the order.
ask --header 'Content-Type: application/json' --data-binary "@$order" "$url/v1/orders?wait_ms=2000" >/dev/null

# Amounts are integers in fen.
ask "$url/v1/users/$user_id/balance"
echo
