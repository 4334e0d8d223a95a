// Orders: search by the number that a person has, and one order line with everything that explains it.

import { at, get, withQuery } from "./api.js";
import { h } from "./dom.js";
import { percent } from "./format.js";
import {
  REASON, action, ask, card, copyable, empty, facts, filters, lineLink, link, marks, money, notice, pager, platformName, status, table, time, userLink, word, write,
} from "./parts.js";
import { sentence } from "./sentences.js";
import { has, t } from "./words.js";

const PLATFORMS = ["taobao", "jd", "pdd"];
const WAIT = "?wait_ms=2000";

export const view = {
  title({ segments }) {
    return segments[1] ? [`${platformName(segments[0])} `, copyable(segments[1])] : t("nav.orders");
  },

  load(context) {
    return context.segments[1] ? loadLine(context) : loadSearch(context);
  },

  render(data, context) {
    return context.segments[1] ? line(data, context) : search(data, context);
  },
};

async function loadSearch({ query, signal }) {
  const unbound = withQuery(at("attributions"), { unbound: "true", limit: 50, cursor: query.cursor });
  const [found, waiting] = await Promise.all([
    query.order_id ? get(withQuery(at("order-lines"), { order_id: query.order_id, platform: query.platform }), signal) : null,
    query.order_id ? null : get(unbound, signal),
  ]);
  return { found, waiting };
}

function search({ found, waiting }, context) {
  const { query } = context;
  const form = filters(["orders"], [
    { name: "order_id", label: t("order-or-line"), value: query.order_id, required: true, maxlength: 64, width: "grow" },
    { name: "platform", label: t("platform"), options: [["", t("any")], ...PLATFORMS.map((name) => [name, platformName(name)])], value: query.platform },
  ]);
  return [form, found ? results(found, context) : suspense(waiting, context)];
}

function results(found, { query }) {
  const columns = [
    { title: t("line"), cell: (row) => lineLink(row.platform, row.order_line_id) },
    { title: t("platform"), cell: (row) => platformName(row.platform) },
    { title: t("order-number"), cell: (row) => row.parent_order_id ?? row.order_id ?? "–" },
    { title: t("owner"), cell: (row) => (row.owner.unavailable ? t("unavailable") : userLink(row.owner.user_id)) },
    { title: t("state"), cell: (row) => status(row.status) },
    { title: t("net"), number: true, cell: (row) => money(row.net) },
    { title: t("paid-at"), cell: (row) => time(row.paid_at) },
    { title: t("updated-at"), cell: (row) => time(row.updated_at) },
  ];
  return card(
    t("found", { id: query.order_id }),
    found.unavailable.length ? notice("warn", t("ill.unavailable", { partitions: found.unavailable.join(", ") })) : null,
    found.more ? notice("warn", t("found.more")) : null,
    table(t("lines"), columns, found.items, (row) => `${row.platform}:${row.order_line_id}`, t("found.none")),
  );
}

function suspense(answer, context) {
  const { query, may, refresh } = context;
  const columns = [
    { title: t("attribution-id"), cell: (row) => copyable(row.attribution_id) },
    { title: t("lines"), number: true, cell: (row) => row.lines },
    { title: t("net"), number: true, cell: (row) => money(row.net) },
    { title: "", cell: (row) => (may("profiles:write") ? action(t("bind"), () => bind(row.attribution_id, refresh)) : "") },
  ];
  return card(
    t("suspense.title"),
    h("p", { class: "detail" }, t("suspense.hint")),
    table(t("suspense.title"), columns, answer.items, (row) => row.attribution_id, t("suspense.none")),
    pager(["orders"], query, answer.next_cursor),
  );
}

function bind(attributionId, done) {
  const send = async ({ user_id: userId, reason }) => {
    const answer = await write("PUT", at("attributions", attributionId) + WAIT, { user_id: userId, ...(reason ? { reason } : {}) });
    return t(answer.visible ? "bound" : "accepted");
  };
  const fields = [{ name: "user_id", label: t("user-id"), required: true, maxlength: 128 }, { ...REASON(), required: false }];
  ask({ title: t("bind"), text: t("bind.text", { id: attributionId }), fields, confirm: t("bind"), send, done });
}

function claim(platform, id, done) {
  const send = async ({ user_id: userId }) => {
    const body = { platform, order_line_id: id, claimed_at: new Date().toISOString() };
    const answer = await write("POST", at("users", userId, "claims") + WAIT, body);
    return t(answer.visible ? "claimed" : "accepted");
  };
  const fields = [{ name: "user_id", label: t("user-id"), required: true, maxlength: 128 }];
  ask({ title: t("claim"), text: t("claim.text", { id }), fields, confirm: t("claim"), send, done });
}

async function loadLine({ segments, may, signal }) {
  const [platform, id] = segments;
  const letters = withQuery(at("dead-letters"), { key: `${platform}:${id}`, limit: 50 });
  const [found, failed] = await Promise.all([
    get(at("order-lines", platform, id), signal),
    may("operations:read") ? get(letters, signal).catch((error) => ({ items: [], error })) : null,
  ]);
  return { line: found, failed };
}

function line({ line: found, failed }, context) {
  return h(
    "div",
    { class: "grid" },
    marks(found),
    summary(found, context),
    card(t("explanation"), h("ol", { class: "sentences" }, found.explanation.map((text) => h("li", {}, sentence(text))))),
    card(t("timeline"), timeline(found.timeline)),
    sharesOf(found),
    reported(found),
    failed ? lettersOf(failed) : null,
  );
}

function summary(found, { segments, may, refresh }) {
  const [platform, id] = segments;
  const { owner } = found;
  const buttons = [];
  if (may("profiles:write") && owner.attribution_id) buttons.push(action(t("bind"), () => bind(owner.attribution_id, refresh)));
  if (may("profiles:write")) buttons.push(action(t("claim"), () => claim(platform, id, refresh)));
  const title = found.snapshot?.item?.title;
  return h(
    "section",
    { class: "card wide", key: "summary" },
    title ? h("p", { class: "lead" }, title) : null,
    facts([
      [t("state"), status(found.status)],
      [t("owner"), owner.user_id ? userLink(owner.user_id) : t("owner.none")],
      [t("owner.by"), word("by", owner.by)],
      [t("attribution-id"), owner.attribution_id ? copyable(owner.attribution_id) : null],
      [t("net"), money(found.net)],
      [t("platform-share"), money(found.platform_share)],
      [t("settled-on"), found.settled_on],
      [t("release-on"), found.release_on],
      [t("rule-version"), found.rule_version ? link(["rules", found.rule_version], found.rule_version) : null],
      [t("punishment"), found.punishment ? [word("punishment", found.punishment.status), " ", time(found.punishment.since)] : t("none")],
    ]),
    buttons.length ? h("div", { class: "buttons" }, buttons) : null,
  );
}

function sharesOf(found) {
  const amount = (name) => ({ title: t(`bucket.${name}`), number: true, cell: (row) => (row.unavailable ? "–" : money(row[name])) });
  const columns = [
    { title: t("user"), cell: (row) => userLink(row.user_id) },
    { title: t("role"), cell: (row) => (row.depth ? t("inviter-of", { depth: row.depth }) : t("role.buyer")) },
    { title: t("level"), cell: (row) => row.level ?? "–" },
    { title: t("rate"), number: true, cell: (row) => (row.unavailable ? t("unavailable") : percent(row.bps)) },
    ...["estimated", "confirmed", "held", "available"].map(amount),
    { title: t("why-nothing"), class: "wrap", cell: (row) => (row.reason ? word("share", row.reason) : "") },
  ];
  return h("section", { class: "card wide", key: "shares" }, h("h2", {}, t("shares")), table(t("shares"), columns, found.shares, (row) => row.user_id, t("shares.none")));
}

function timeline(entries) {
  if (!entries.length) return empty(t("nothing"));
  return h(
    "ol",
    { class: "timeline" },
    entries.toReversed().map((entry) =>
      h("li", { class: entry.kind }, h("div", {}, sentence(entry.says)), h("small", {}, entry.modified_at ? [t("network-time"), " ", time(entry.modified_at), " · "] : "", t("arrived"), " ", time(entry.at), entry.actor ? ` · ${entry.actor}` : "")),
    ),
  );
}

// Members of a snapshot that have a place of their own.
const PLACED = new Set(["status", "seq", "amounts", "times", "attribution", "item"]);

function reported({ snapshot, suits }) {
  if (!snapshot) return card(t("reported"), empty(t("reported.none")));
  const { amounts, times, attribution } = snapshot;
  const others = Object.entries({ ...snapshot, ...snapshot.item }).filter(([name, value]) => !PLACED.has(name) && value !== null);
  const text = (value) => (typeof value === "string" || typeof value === "number" ? String(value) : JSON.stringify(value));
  return card(
    t("reported"),
    facts([
      [t("state"), word("status", snapshot.status)],
      [t("modified-at"), time(snapshot.seq.modified_at)],
      [t("paid-at"), time(times.paid)],
      [t("settled-at"), time(times.settled)],
      [t("expected-settle"), times.expected_settle],
      [t("est-commission"), money(amounts.est_commission)],
      [t("settled-commission"), money(amounts.settled_commission)],
      [t("service-fee"), money(amounts.service_fee)],
      ...Object.entries(attribution).map(([name, value]) => [name, h("span", { class: "id" }, text(value))]),
      ...others.map(([name, value]) => [has(`member.${name}`) ? t(`member.${name}`) : name, h("span", { class: "wrap" }, text(value))]),
    ]),
    suits.length ? [h("h3", {}, t("suits")), suitsTable(suits)] : null,
  );
}

function suitsTable(suits) {
  return table(t("suits"), [
    { title: t("suit"), cell: (row) => copyable(row.suit_id) },
    { title: t("state"), cell: (row) => word("suit", row.status) },
    { title: t("of-commission"), number: true, cell: (row) => money(row.net_refund) },
    { title: t("modified-at"), cell: (row) => time(row.modified_at) },
  ], suits, (row) => row.suit_id);
}

function lettersOf(failed) {
  const columns = [
    { title: t("at"), cell: (row) => time(row.at || row.timestamp) },
    { title: t("reason"), class: "wrap", cell: (row) => link(["failures", row.id], row.reason) },
    { title: t("decision"), cell: (row) => word("decision", row.decision ?? "open") },
  ];
  return card(t("line.letters"), failed.error ? notice("warn", t("ill.unseen")) : table(t("line.letters"), columns, failed.items, (row) => row.id, t("failures.none")));
}
