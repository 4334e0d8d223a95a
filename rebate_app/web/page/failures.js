// Dead letters and parked keys: what failed, one in full, and what a person decides about it.

import { at, get, withQuery } from "./api.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { REASON, action, ask, badge, card, copyable, facts, filters, link, lineLink, notice, pager, table, time, userLink, word, write } from "./parts.js";
import { cure, failureSentence } from "./sentences.js";
import { t } from "./words.js";

const IDS_MAX = 25; // of one request
const LINE_KEY = /^(taobao|jd|pdd|[a-z0-9]{1,16}):(.+)$/;

export const view = {
  title({ segments }) {
    return segments[0] ? [t("dead-letter"), " ", copyable(segments[0])] : t("nav.failures");
  },

  load(context) {
    return context.segments[0] ? get(at("dead-letters", context.segments[0]), context.signal) : loadList(context);
  },

  render(data, context) {
    return context.segments[0] ? letter(data, context) : lists(data, context);
  },
};

async function loadList({ query, signal }) {
  const { reason, key, since, cursor } = query;
  const filter = { reason, key, since: since ? `${since}T00:00:00+08:00` : "", open: query.all ? "" : "true", limit: 50, cursor };
  const [letters, parked] = await Promise.all([
    get(withQuery(at("dead-letters"), filter), signal),
    get(withQuery(at("parked-keys"), { limit: 50, cursor: query.parked }), signal),
  ]);
  return { letters, parked };
}

function keyLink(key, topic) {
  if (!key) return "–";
  const match = LINE_KEY.exec(key);
  if (topic.includes("order") && match) return lineLink(match[1], match[2]);
  return /^[A-Za-z0-9._@-]{1,128}$/.test(key) ? userLink(key) : h("span", { class: "id" }, key);
}

function lists({ letters, parked }, context) {
  const { query } = context;
  const form = filters(["failures"], [
    { name: "reason", label: t("reason"), value: query.reason },
    { name: "key", label: t("key"), value: query.key, width: "grow" },
    { name: "since", label: t("since-day"), type: "date", value: query.since },
    { name: "all", label: t("show"), options: [["", t("open-only")], ["1", t("all-letters")]], value: query.all },
  ]);
  return [form, letterList(letters, context), parkedList(parked, context)];
}

function letterList(letters, context) {
  const { query, may } = context;
  const columns = [
    { title: t("failed-at"), cell: (row) => time(row.at || row.timestamp) },
    {
      title: t("what-failed"), class: "wrap title",
      cell: (row) => [h("a", { href: `#/failures/${encodeURIComponent(row.id)}` }, failureSentence(row.reason)), h("small", { class: "id" }, row.reason), row.detail ? h("small", {}, row.detail) : null],
    },
    { title: t("key"), class: "wrap", cell: (row) => keyLink(row.key, row.id) },
    { title: t("actor"), class: "wrap", cell: (row) => row.actor ?? "–" },
    { title: t("attempt"), number: true, cell: (row) => row.attempt },
    { title: t("decision"), cell: (row) => decisionBadge(row.decision) },
  ];
  const open = letters.items.filter((row) => !row.decision && row.reason !== "internal-error");
  const buttons = may("operations:write") && open.length
    ? h("div", { class: "buttons" }, action(t("replay-listed", { count: open.length }), () => replay(open.map((row) => row.id), context)), action(t("discard-listed", { count: open.length }), () => discard(open.map((row) => row.id), context), "danger"))
    : null;
  return card(
    t("dead-letters"),
    h("p", { class: "detail" }, t("dead-letters.hint")),
    table(t("dead-letters"), columns, letters.items, (row) => row.id, t("failures.none")),
    buttons,
    pager(["failures"], query, letters.next_cursor),
  );
}

function decisionBadge(decision) {
  return decision ? badge(word("decision", decision), "plain") : badge(t("decision.open"), "warn");
}

function parkedList(parked, context) {
  const { query, may } = context;
  const columns = [
    { title: t("key"), class: "wrap", cell: (row) => keyLink(row.key, row.topic) },
    { title: t("topic"), cell: (row) => row.topic },
    { title: t("parked-at"), cell: (row) => time(row.at) },
    { title: t("first-failed"), cell: (row) => link(["failures", row.since], row.since) },
    { title: t("waiting"), number: true, cell: (row) => count(row.waiting) },
    {
      title: "",
      cell: (row) => {
        if (row.releasing) return badge(t("releasing"), "good");
        return may("operations:write") && row.key_as === "text" ? action(t("release"), () => release(row, context)) : "";
      },
    },
  ];
  return card(
    t("parked"),
    h("p", { class: "detail" }, t("parked.hint")),
    table(t("parked"), columns, parked.items, (row) => `${row.topic} ${row.key}`, t("parked.none")),
    parked.next_cursor ? link(["failures"], t("next-page"), { ...query, parked: parked.next_cursor }) : null,
  );
}

function outcomes(items) {
  const sums = new Map();
  for (const { outcome } of items) sums.set(outcome, (sums.get(outcome) ?? 0) + 1);
  return [...sums].map(([outcome, number]) => `${word("outcome", outcome)}: ${number}`).join(" · ");
}

async function inParts(ids, verb, body) {
  const items = [];
  for (let start = 0; start < ids.length; start += IDS_MAX) {
    const path = at("dead-letters", ids.slice(start, start + IDS_MAX).join(","), verb);
    items.push(...(await write("POST", path, body)).items);
  }
  return outcomes(items);
}

// Who decides: the key's name where there is one, else what the person says.
function by(context) {
  return context.caller.kind === "anonymous" ? [{ name: "by", label: t("your-name"), required: true, maxlength: 100 }] : [];
}

function replay(ids, context) {
  ask({
    title: t("replay"), text: t("replay.text", { count: ids.length }), confirm: t("replay"), done: context.refresh,
    fields: [...by(context), { ...REASON(), required: false }],
    send: ({ by: name = "", reason }) => inParts(ids, "replay", { by: name, reason }),
  });
}

function discard(ids, context) {
  ask({
    title: t("discard"), text: t("discard.text", { count: ids.length }), confirm: t("discard"), danger: true, done: context.refresh,
    fields: [...by(context), REASON()],
    send: ({ by: name = "", reason }) => inParts(ids, "discard", { by: name, reason }),
  });
}

function release(row, context) {
  ask({
    title: t("release"), text: t("release.text", { key: row.key, count: row.waiting }), confirm: t("release"), done: context.refresh,
    fields: [REASON()],
    send: async ({ reason }) => {
      await write("POST", at("parked-keys", row.key, "release"), { reason, topic: row.topic });
      return t("released");
    },
  });
}

const GOOD = new Set(["applied", "ignored", "delivery"]);

function letter(found, context) {
  const open = !found.decision;
  const parkedRecord = found.reason === "internal-error";
  const buttons = context.may("operations:write") && open
    ? h("div", { class: "buttons" }, parkedRecord ? null : action(t("replay"), () => replay([found.id], context), "primary"), action(t("discard"), () => discard([found.id], context), "danger"))
    : null;
  const today = found.today;
  return h(
    "div",
    { class: "grid" },
    h(
      "section",
      { class: "card wide", key: "what" },
      h("p", { class: "lead" }, failureSentence(found.reason)),
      found.detail ? h("p", {}, found.detail) : null,
      h("p", {}, h("strong", {}, t("cure")), " ", cure(found.reason)),
      today ? notice(GOOD.has(today.outcome) ? "good" : "warn", h("strong", {}, t("today")), " ", word("outcome", today.outcome), today.reason && today.reason !== found.reason ? ` (${today.reason}) ` : " ", today.detail === found.detail ? "" : today.detail) : null,
      parkedRecord ? h("p", {}, t("parked.record"), " ", link(["failures"], t("parked"))) : null,
      facts([
        [t("reason"), h("span", { class: "id" }, found.reason)],
        [t("member"), found.member || null],
        [t("stage"), found.stage],
        [t("key"), keyLink(found.key, found.id)],
        [t("failed-at"), time(found.at)],
        [t("record-time"), time(found.timestamp)],
        [t("attempt"), found.attempt],
        [t("actor"), found.actor],
        [t("request-id"), found.request_id],
        [t("decision"), decisionBadge(found.decision)],
        ...(found.decided ? [[t("decided-by"), found.decided.by], [t("why"), found.decided.why]] : []),
      ]),
      buttons,
    ),
    h("section", { class: "card wide", key: "value" }, h("h2", {}, t("value"), " ", h("small", {}, t("value.bytes", { count: count(found.value_bytes), as: found.value_as }))), h("pre", { tabindex: 0, "aria-label": t("value") }, pretty(found))),
    h("section", { class: "card wide", key: "headers" }, h("h2", {}, t("headers")), table(t("headers"), [
      { title: t("name"), cell: (row) => h("span", { class: "id" }, row.name) },
      { title: t("value"), class: "wrap", cell: (row) => h("span", { class: "id" }, row.value) },
    ], found.headers.map((header, number) => ({ ...header, number })), (row) => row.number)),
  );
}

function pretty({ value, value_as: form }) {
  if (value === null) return "–";
  if (form !== "text") return value;
  try {
    JSON.parse(value);
  } catch {
    return value;
  }
  return indented(value);
}

// Return JSON with line breaks; digits and texts stay as they are, however large or unusual.
function indented(json) {
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let depth = 0;
  let out = "";
  tokens.forEach((token, number) => {
    const opens = token === "{" || token === "[";
    const closes = token === "}" || token === "]";
    const isEmpty = closes && ["{", "["].includes(tokens[number - 1]);
    if (opens) depth += 1;
    if (closes) depth -= 1;
    if (closes && !isEmpty) out += `\n${"  ".repeat(depth)}`;
    out += token === ":" ? ": " : token;
    if ((opens && !["}", "]"].includes(tokens[number + 1])) || token === ",") out += `\n${"  ".repeat(depth)}`;
  });
  return out;
}
