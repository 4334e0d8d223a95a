// Users: search, the list with balances, and one account with everything that belongs to it.

import { at, get, withQuery } from "./api.js";
import { proposal } from "./adjustments.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { entrySentence } from "./sentences.js";
import { maturingChart } from "./maturing.js";
import {
  REASON, action, ask, badge, card, change, copyable, facts, filters, lineLink, link, marks, money, pager, platformName, status, table, time, to, userLink, word, write,
} from "./parts.js";
import { t } from "./words.js";
import { ofUser } from "./withdrawals.js";

const TABS = ["lines", "ledger", "withdrawals", "adjustments", "invitees"];
const BUCKETS = ["available", "confirmed", "held", "estimated", "frozen", "withdrawn"];
const STATUSES = ["created", "paid", "received", "settled", "punished", "closed", "superseded", "unknown"];
const PLATFORMS = ["taobao", "jd", "pdd"];

export const view = {
  title({ segments }) {
    return segments[0] ? [t("user"), " ", copyable(segments[0])] : t("nav.users");
  },

  load(context) {
    return context.segments[0] ? loadUser(context) : loadList(context);
  },

  render(data, context) {
    return context.segments[0] ? account(data, context) : list(data, context);
  },
};

function tabs({ serves }) {
  return TABS.filter((name) => !["withdrawals", "adjustments"].includes(name) || serves(`/v1/users/{user_id}/${name}`));
}

async function loadList({ query, signal }) {
  const page = await get(withQuery(at("users"), { limit: 50, cursor: query.cursor }), signal);
  const ids = page.items.map((item) => ["user_id", item.user_id]);
  const balances = ids.length ? (await get(`${at("balances")}?${new URLSearchParams(ids)}`, signal)).items : [];
  return { page, balances };
}

function search() {
  const submit = (event) => {
    event.preventDefault();
    const id = new FormData(event.currentTarget).get("user_id").trim();
    if (id) location.hash = to(["users", id]);
  };
  return h(
    "form",
    { class: "filters", on: { submit }, key: "search" },
    h("label", { class: "grow" }, h("span", {}, t("user-id")), h("input", { name: "user_id", required: true, autocomplete: "off", spellcheck: "false" })),
    h("button", { class: "primary" }, t("search")),
  );
}

function list({ page, balances }, { query }) {
  const amount = (name) => ({ title: t(`bucket.${name}`), number: true, cell: (row) => (row.balance ? money(row.balance[name]) : "–") });
  const columns = [
    { title: t("user-id"), cell: (row) => userLink(row.user_id) },
    ...["available", "confirmed", "held", "estimated", "debt"].map(amount),
    { title: "", cell: (row) => (row.status === 200 ? (row.balance.under_review ? badge(t("under-review"), "warn") : "") : badge(t("unavailable"), "warn")) },
  ];
  return [search(), card(t("users.all"), table(t("users.all"), columns, balances, (row) => row.user_id, t("users.none")), pager(["users"], query, page.next_cursor))];
}

async function loadUser(context) {
  const { segments, query, signal } = context;
  const [id] = segments;
  const tab = tabs(context).includes(query.tab) ? query.tab : "lines";
  const { status, platform, role, from, until, cursor } = query;
  const midnight = (day) => (day ? `${day}T00:00:00+08:00` : "");
  const queries = {
    lines: { status, platform, role, paid_from: midnight(from), paid_to: midnight(until), cursor },
  };
  const path = withQuery(at("users", id, tab), { limit: 50, cursor, ...queries[tab] });
  const [balance, profile, part] = await Promise.all([
    get(at("users", id, "balance"), signal), get(at("users", id, "profile"), signal), get(path, signal),
  ]);
  return { id, balance, profile, tab, part };
}

function account({ id, balance, profile, tab, part }, context) {
  const tile = (name, value) =>
    h("div", { class: "tile" }, h("span", { class: "name" }, t(`bucket.${name}`)), money(value, "large"), h("span", { class: "hint" }, t(`bucket.${name}.hint`)));
  const shown = BUCKETS.filter((name) => balance[name] || !["frozen", "withdrawn"].includes(name));
  return h(
    "div",
    { class: "grid" },
    marks(balance),
    balance.version === 0 ? h("div", { class: "notice plain wide" }, t("user.unseen")) : null,
    h(
      "section",
      { class: "card wide", key: "buckets" },
      h("h2", {}, t("account"), balance.blocked ? [" ", badge(t("blocked"), "bad")] : null),
      h("div", { class: "tiles" }, shown.map((name) => tile(name, balance[name])), balance.debt ? tile("debt", balance.debt) : null),
      actions(id, balance, context),
    ),
    h("section", { class: "card half", key: "maturing" }, maturingChart(balance.maturing, t("user.maturing"))),
    card(
      t("profile"),
      facts([
        [t("level"), profile.level ?? "–"],
        [t("inviter"), userLink(profile.inviter_id)],
        [t("since"), time(profile.effective_at)],
        ...(profile.actor ? [[t("actor"), h("span", { class: "id" }, profile.actor)]] : []),
        [t("lines"), t("lines.counts", { open: count(balance.lines.open), settled: count(balance.lines.settled), closed: count(balance.lines.closed) })],
        [t("as-of"), h("span", { class: "id" }, `${balance.as_of.topic}/${balance.as_of.partition}/${balance.as_of.offset}`)],
      ]),
    ),
    h("section", { class: "card wide", key: "parts" }, tabBar(id, tab, context), parts[tab](part, id, context)),
  );
}

function actions(id, balance, { may, serves, refresh }) {
  const buttons = [];
  const state = balance.blocked ? "unblock" : "block";
  if (may("adjustments:approve") && serves(`/v1/users/{user_id}/${state}`)) {
    const send = async ({ reason }) => void (await write("POST", at("users", id, state), { reason }));
    buttons.push(action(t(state), () => ask({ title: t(state), text: t(`${state}.text`, { id }), fields: [REASON()], confirm: t(state), danger: state === "block", send, done: refresh }), state === "block" ? "danger" : ""));
  }
  if (may("adjustments:write") && serves("/v1/users/{user_id}/adjustments")) buttons.push(action(t("propose"), () => proposal(id, refresh)));
  return buttons.length ? h("div", { class: "buttons" }, buttons) : null;
}

function tabBar(id, current, context) {
  return h(
    "nav",
    { class: "tabs", "aria-label": t("account") },
    tabs(context).map((name) => h("a", { href: to(["users", id], { tab: name }), "aria-current": name === current ? "page" : null }, t(`tab.${name}`))),
  );
}

// What an entry of a ledger is about.
function about(row) {
  if (row.order_line_id) return [platformName(row.platform), " ", lineLink(row.platform, row.order_line_id)];
  return row.withdrawal_id ?? row.adjustment_id ?? row.opening_id ?? "";
}

const parts = {
  lines(answer, id, { query }) {
    const options = (group, values) => [["", t("any")], ...values.map((value) => [value, word(group, value)])];
    const form = filters(
      ["users", id],
      [
        { name: "status", label: t("state"), options: options("status", STATUSES), value: query.status },
        { name: "platform", label: t("platform"), options: options("platform", PLATFORMS), value: query.platform },
        { name: "role", label: t("role"), options: options("role", ["buyer", "inviter"]), value: query.role },
        { name: "from", label: t("paid-from"), type: "date", value: query.from },
        { name: "until", label: t("paid-to"), type: "date", value: query.until },
      ],
      { tab: "lines" },
    );
    const amount = (name) => ({ title: t(`bucket.${name}`), number: true, cell: (row) => money(row[name]) });
    const columns = [
      { title: t("paid-at"), cell: (row) => time(row.paid_at) },
      { title: t("line"), class: "wrap title", cell: (row) => [h("div", {}, row.title ?? ""), h("small", {}, platformName(row.platform), " ", lineLink(row.platform, row.order_line_id))] },
      { title: t("order-number"), cell: (row) => (row.parent_order_id ? copyable(row.parent_order_id) : "–") },
      { title: t("role"), cell: (row) => word("role", row.role) },
      { title: t("state"), cell: (row) => status(row.status) },
      ...["estimated", "confirmed", "held", "available"].map(amount),
      { title: t("release-on"), cell: (row) => row.release_on ?? "–" },
    ];
    return [form, table(t("tab.lines"), columns, answer.items, (row) => `${row.platform}:${row.order_line_id}`, t("lines.none")), pager(["users", id], { ...query, tab: "lines" }, answer.next_cursor)];
  },

  ledger(answer, id, { query }) {
    const column = (name) => ({ title: t(`bucket.${name}`), number: true, cell: (row) => (row[name] ? change(row[name]) : "") });
    const columns = [
      { title: t("at"), cell: (row) => time(row.at) },
      { title: t("what"), class: "wrap title", cell: (row) => [h("div", {}, entrySentence(row)), h("small", {}, about(row))] },
      { title: t("effective-on"), cell: (row) => row.effective_on ?? t("at-once") },
      ...["estimated", "settled", "held"].map(column),
      ...["frozen", "withdrawn"].filter((name) => answer.items.some((row) => row[name])).map(column),
      { title: t("rule-version"), cell: (row) => (row.rule_version ? link(["rules", row.rule_version], row.rule_version) : "–") },
    ];
    return [h("p", { class: "detail" }, t("ledger.hint")), table(t("tab.ledger"), columns, answer.items, (row) => row.entry_id, t("ledger.none")), pager(["users", id], { ...query, tab: "ledger" }, answer.next_cursor)];
  },

  withdrawals: ofUser,

  adjustments(answer, id, { query }) {
    const columns = [
      { title: t("adjustment-id"), cell: (row) => copyable(row.adjustment_id) },
      { title: t("amount"), number: true, cell: (row) => change(row.amount) },
      { title: t("state"), cell: (row) => word("adjustment", row.state) },
      { title: t("reason"), class: "wrap", cell: (row) => row.reason ?? "–" },
    ];
    return [table(t("tab.adjustments"), columns, answer.items, (row) => row.adjustment_id), pager(["users", id], { ...query, tab: "adjustments" }, answer.next_cursor)];
  },

  invitees(answer, id, { query }) {
    const columns = [
      { title: t("user-id"), cell: (row) => userLink(row.user_id) },
      { title: t("level"), cell: (row) => row.level ?? "–" },
    ];
    return [table(t("tab.invitees"), columns, answer.items, (row) => row.user_id, t("invitees.none")), pager(["users", id], { ...query, tab: "invitees" }, answer.next_cursor)];
  },
};
