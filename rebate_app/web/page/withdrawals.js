// Withdrawals: the queue of reviews with what decides them, all others by state, and the payout channels.

import { at, get, withQuery } from "./api.js";
import { h } from "./dom.js";
import { count, duration, signed, yuan } from "./format.js";
import { OPEN_STATES, REASON, action, ask, badge, card, copyable, facts, filters, link, money, notice, pager, table, time, userLink, word, write } from "./parts.js";
import { t } from "./words.js";

const STATES = [...OPEN_STATES, "paid", "failed", "returned", "rejected", "cancelled", "refused"];
const TONES = { stuck: "bad", sending: "warn", "needs-user": "warn", review: "warn", paid: "good", failed: "bad", returned: "bad" };

function state(value) {
  return badge(word("withdrawal", value), TONES[value] ?? "plain");
}

export const view = {
  title({ segments }) {
    return segments[1] ? [t("withdrawal"), " ", copyable(segments[1])] : t("nav.withdrawals");
  },

  load(context) {
    return context.segments[1] ? loadOne(context) : loadQueue(context);
  },

  render(data, context) {
    return context.segments[1] ? one(data, context) : queue(data, context);
  },
};

async function loadQueue({ query, serves, signal }) {
  const list = (name) => get(withQuery(at("withdrawals"), { state: name, channel: query.channel, limit: 50, cursor: query.cursor }), signal);
  const channels = serves("/v1/channels") ? get(at("channels"), signal) : null;
  if (query.state) {
    const [page, found] = await Promise.all([list(query.state), channels]);
    return { groups: [[query.state, page]], channels: found };
  }
  const [found, ...pages] = await Promise.all([channels, ...OPEN_STATES.map(list)]);
  return { groups: OPEN_STATES.map((name, number) => [name, pages[number]]).filter(([, page]) => page.items.length), channels: found };
}

function columns(extra = [], { may } = { may: () => true }) {
  const one = (row) => (may("balances:read") ? link(["withdrawals", row.user_id, row.withdrawal_id], row.withdrawal_id) : copyable(row.withdrawal_id));
  return [
    { title: t("requested-at"), cell: (row) => time(row.requested_at) },
    { title: t("user"), cell: (row) => userLink(row.user_id) },
    { title: t("withdrawal"), cell: one },
    { title: t("amount"), number: true, cell: (row) => money(row.amount) },
    { title: t("net-paid"), number: true, cell: (row) => money(row.net) },
    { title: t("channel"), cell: (row) => row.channel },
    { title: t("state"), cell: (row) => state(row.state) },
    ...extra,
  ];
}

function queue({ groups, channels }, context) {
  const { query } = context;
  const form = filters(["withdrawals"], [
    { name: "state", label: t("state"), options: [["", t("under-way")], ...STATES.map((name) => [name, word("withdrawal", name)])], value: query.state },
    { name: "channel", label: t("channel"), value: query.channel },
  ]);
  const approvals = { title: t("approvals"), number: true, cell: (row) => `${row.approvals?.length ?? 0} / ${row.approvals_needed ?? 0}` };
  const parts = groups.map(([name, page]) =>
    h("section", { class: "card", key: `group ${name}` }, h("h2", {}, word("withdrawal", name), " ", badge(count(page.items.length) + (page.next_cursor ? "+" : ""))), h("p", { class: "detail" }, t(`withdrawal.${name}.hint`)),
      table(word("withdrawal", name), columns([approvals], context), page.items, (row) => `${row.user_id} ${row.withdrawal_id}`), pager(["withdrawals"], { ...query, state: name }, page.next_cursor)),
  );
  const blind = context.may("balances:read") ? null : notice("warn", t("withdrawals.blind"));
  return [form, blind, parts.length ? parts : notice("good", t("withdrawals.none")), channels ? channelList(channels, context) : null];
}

function channelList(answer, { may, refresh }) {
  const items = answer.items ?? answer.channels ?? [];
  const change = (row, verb) => () =>
    ask({ title: t(`channel-do.${verb}`), text: t(`channel-do.${verb}.text`, { name: row.name, count: row.open ?? 0 }), fields: [REASON()], confirm: t(`channel-do.${verb}`), danger: verb === "close", done: refresh,
      send: async ({ reason }) => void (await write("POST", at("channels", row.name, verb), { reason })) });
  const verbs = { open: ["pause", "close"], paused: ["open", "close"], closed: ["open"] };
  return card(t("channels"), table(t("channels"), [
    { title: t("channel"), cell: (row) => row.name },
    { title: t("state"), cell: (row) => badge(word("channel", row.state), row.state === "open" ? "good" : "warn") },
    { title: t("why"), class: "wrap", cell: (row) => word("why", row.why) },
    { title: t("since"), cell: (row) => time(row.since) },
    { title: t("under-way"), number: true, cell: (row) => row.open ?? "–" },
    { title: t("oldest"), number: true, cell: (row) => duration(row.oldest_s) },
    { title: t("unknown-count"), number: true, cell: (row) => row.unknown ?? "–" },
    { title: word("withdrawal", "stuck"), number: true, cell: (row) => row.stuck ?? "–" },
    { title: "", cell: (row) => (may("withdrawals:review") ? h("div", { class: "buttons" }, (verbs[row.state] ?? []).map((verb) => action(t(`channel-do.${verb}`), change(row, verb)))) : "") },
  ], items, (row) => row.name, t("channels.none")));
}

async function loadOne({ segments, may, serves, signal }) {
  const [user, id] = segments;
  if (!may("balances:read")) return null;
  const [found, history, balance, adjustments] = await Promise.all([
    get(at("users", user, "withdrawals", id), signal),
    get(withQuery(at("users", user, "withdrawals"), { limit: 200 }), signal),
    get(at("users", user, "balance"), signal),
    serves("/v1/users/{user_id}/adjustments") ? get(withQuery(at("users", user, "adjustments"), { limit: 200 }), signal) : null,
  ]);
  return { found, history: history.items, balance, adjustments: (adjustments?.items ?? []).filter((each) => each.state === "approved") };
}

// What decides a review: {text, tone}.
function signs(found, history, balance, adjustments) {
  const others = history.filter((each) => each.withdrawal_id !== found.withdrawal_id);
  const paid = others.filter((each) => ["paid", "returned"].includes(each.state));
  const payee = JSON.stringify(found.payee ?? null);
  const add = [];
  add.push(paid.length ? [t("sign.paid", { count: paid.length }), "good"] : [t("sign.first"), "warn"]);
  if (paid.length) add.push(paid.some((each) => JSON.stringify(each.payee ?? null) === payee) ? [t("sign.known-payee"), "good"] : [t("sign.new-payee"), "warn"]);
  const bad = others.filter((each) => ["failed", "returned", "rejected"].includes(each.state)).length;
  if (bad) add.push([t("sign.bad", { count: bad }), "warn"]);
  if (adjustments.length) add.push([t("sign.adjusted", { count: adjustments.length, amount: signed(adjustments.reduce((sum, each) => sum + each.amount, 0)) }), "warn"]);
  if (balance?.debt) add.push([t("sign.debt"), "bad"]);
  if (balance?.held) add.push([t("sign.held"), "warn"]);
  if (balance?.blocked) add.push([t("blocked"), "bad"]);
  if (balance?.under_review) add.push([t("under-review"), "bad"]);
  return add;
}

function one(data, context) {
  if (data === null) return notice("warn", t("forbidden", { scope: "balances:read" }));
  const { found, history, balance, adjustments } = data;
  const payee = Object.entries(found.payee ?? {}).filter(([, value]) => typeof value === "string" || typeof value === "number");
  return h(
    "div",
    { class: "grid" },
    h(
      "section",
      { class: "card wide", key: "one" },
      h("p", { class: "lead" }, money(found.amount), " ", state(found.state), " ", userLink(found.user_id)),
      h("p", {}, t(`withdrawal.${found.state}.hint`)),
      found.state === "review" ? h("ul", { class: "signs" }, signs(found, history, balance, adjustments).map(([text, tone]) => h("li", {}, badge(text, tone)))) : null,
      facts([
        [t("fee"), money(found.fee)],
        [t("net-paid"), money(found.net)],
        [t("channel"), found.channel],
        ...payee.map(([name, value]) => [word("payee", name), String(value)]),
        [t("payout-no"), found.payout_no ? copyable(found.payout_no) : null],
        [t("reason"), found.reason ? word("refusal", found.reason) : null],
        [t("memo"), found.memo],
        [t("requested-at"), time(found.requested_at)],
        [t("decided-at"), time(found.decided_at)],
        [t("updated-at"), time(found.updated_at)],
        [t("approvals"), `${found.approvals?.length ?? 0} / ${found.approvals_needed ?? 0}`],
        ...(found.approvals ?? []).map((each) => [t("approved-by"), [each.actor, " ", time(each.at)]]),
        [t("attempts"), found.attempts?.length ?? 0],
        ...(found.resolution ? [[t("resolved-by"), [word("withdrawal", found.resolution.outcome), " ", found.resolution.channel_ref ?? "", " ", found.resolution.actor, " ", time(found.resolution.at)]]] : []),
        [t("result"), found.result ? [word("withdrawal", found.result.status), found.result.code ? ` (${word("why", found.result.code)})` : ""] : null],
      ]),
      decide(found, context),
    ),
    card(t("account"), facts(["available", "confirmed", "held", "estimated", "frozen", "withdrawn", "debt"].map((name) => [t(`bucket.${name}`), money(balance[name])])), h("p", { class: "links" }, ["lines", "ledger", "adjustments"].map((tab) => link(["users", found.user_id], t(`tab.${tab}`), { tab })))),
    card(t("history"), table(t("history"), columns().filter((column) => ![t("user"), t("net-paid"), t("channel")].includes(column.title)), history, (row) => row.withdrawal_id)),
  );
}

// What the caller may do now: what is refused for certain is not offered.
function verbsFor(found, { may, caller }) {
  const mine = (found.approvals ?? []).some((each) => each.actor === caller.actor) && caller.kind !== "anonymous";
  const verbs = [];
  if (may("withdrawals:review")) {
    if (found.state === "review") verbs.push(...(mine ? [] : ["approve"]), "reject");
    if (found.state === "approved") verbs.push("reject");
    if (found.state === "stuck" && found.resolution) verbs.push("confirm");
    if (found.state === "stuck") verbs.push("resolve");
  }
  const unpaid = ["review", "approved"].includes(found.state) && !found.attempts?.length;
  if (may("withdrawals:write") && unpaid) verbs.push("cancel");
  return { verbs, mine: mine && found.state === "review" };
}

function decide(found, context) {
  const { verbs, mine } = verbsFor(found, context);
  const hint = mine ? notice("plain", t("approved-by-you")) : null;
  if (!verbs.length) return hint;
  const resolved = found.resolution;
  const outcome = [
    { name: "outcome", label: t("outcome"), options: [["paid", word("withdrawal", "paid")], ["failed", word("withdrawal", "failed")]] },
    { name: "channel_ref", label: t("channel-ref"), maxlength: 128 },
  ];
  const left = (found.approvals_needed ?? 1) - (found.approvals?.length ?? 0);
  const text = (verb) => {
    const values = { id: found.withdrawal_id, user: found.user_id, amount: yuan(found.amount) };
    if (verb === "approve" && left > 1) return t("withdrawal.approve.first", values);
    if (verb === "confirm") return t("withdrawal.confirm.text", { ...values, outcome: word("withdrawal", resolved.outcome), reference: resolved.channel_ref ?? "–" });
    return t(`withdrawal.${verb}.text`, values);
  };
  const open = (verb) => () =>
    ask({
      title: t(`withdrawal.${verb}`), text: text(verb), confirm: t(`withdrawal.${verb}`), danger: verb !== "approve", done: context.refresh,
      fields: [...(verb === "resolve" ? outcome : []), REASON()],
      send: async ({ channel_ref: reference, ...values }) => {
        const stated = verb === "confirm" ? { outcome: resolved.outcome, channel_ref: resolved.channel_ref } : { channel_ref: reference };
        const body = { ...values, ...Object.fromEntries(Object.entries(stated).filter(([, value]) => value)) };
        const answer = await write("POST", at("users", found.user_id, "withdrawals", found.withdrawal_id, verb), body);
        return answer?.state ? word("withdrawal", answer.state) : t("accepted");
      },
    });
  const tone = (verb) => (["reject", "cancel"].includes(verb) ? "danger" : "primary");
  return [hint, h("div", { class: "buttons" }, verbs.map((verb) => action(t(`withdrawal.${verb}`), open(verb), tone(verb))))];
}

// The tab of one account.
export function ofUser(answer, id, { query, may }) {
  const cell = (row) => (may("withdrawals:review") ? link(["withdrawals", id, row.withdrawal_id], row.withdrawal_id) : copyable(row.withdrawal_id));
  const own = columns().filter((column) => column.title !== t("user")).map((column) => (column.title === t("withdrawal") ? { ...column, cell } : column));
  return [table(t("tab.withdrawals"), own, answer.items, (row) => row.withdrawal_id, t("withdrawals.none-of-user")), pager(["users", id], { ...query, tab: "withdrawals" }, answer.next_cursor)];
}
