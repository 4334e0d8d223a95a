// Amounts, moments and numbers as text. An amount is an integer of fen and is never divided: its digits are cut.

const SHANGHAI_MS = 8 * 3_600_000;

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

// Return fen as ¥1,234.56; "–" for none. TypeError for what is no integer of fen.
export function yuan(fen) {
  if (fen === null || fen === undefined) return "–";
  if (!Number.isSafeInteger(fen)) throw new TypeError(`no amount of fen: ${fen}`);
  const digits = String(Math.abs(fen)).padStart(3, "0");
  return `${fen < 0 ? "−" : ""}¥${grouped(digits.slice(0, -2))}.${digits.slice(-2)}`;
}

// Return a change of an account with its sign, such as +¥1.00.
export function signed(fen) {
  return fen > 0 ? `+${yuan(fen)}` : yuan(fen);
}

// Return the fen of an amount that a person typed, such as 12.5 or -1,234.56; null for what is none.
export function fenOf(text) {
  const match = /^([-−+]?)¥?(\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.(\d{1,2}))?$/.exec(text.trim());
  if (!match) return null;
  const fen = Number(match[2].replaceAll(",", "") + (match[3] ?? "").padEnd(2, "0"));
  return match[1] === "-" || match[1] === "−" ? -fen : fen;
}

// Return basis points as per cent, such as 65 % or 6.5 %.
export function percent(bps) {
  const digits = String(bps).padStart(3, "0");
  const rest = digits.slice(-2).replace(/0+$/, "");
  return `${digits.slice(0, -2)}${rest ? `.${rest}` : ""}%`;
}

export function count(number) {
  return grouped(String(number));
}

function inShanghai(text) {
  const ms = typeof text === "number" ? text : Date.parse(text);
  return Number.isNaN(ms) ? null : new Date(ms + SHANGHAI_MS).toISOString();
}

// Return a moment in Shanghai as 2026-01-03 20:13:51; as it came when it is none.
export function moment(text) {
  const iso = inShanghai(text);
  return iso === null ? String(text) : `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
}

// Return the time of day in Shanghai as 20:13.
export function clock(text) {
  return inShanghai(text)?.slice(11, 16) ?? "";
}

export function today() {
  return inShanghai(Date.now()).slice(0, 10);
}

// Return the day that many days after a day.
export function dayAfter(day, days) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

// Return a duration as 850 ms, 2.4 s or 3 min.
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}
