// Overview: is everything well; workers, load, what is owed, what failed. Every figure links to its view.

import { at, collect, get, getEvery, withQuery } from "./api.js";
import { chart } from "./charts.js";
import { h } from "./dom.js";
import { clock, count, duration, yuan } from "./format.js";
import { maturingChart } from "./maturing.js";
import { OLD_SECONDS, OPEN_STATES, badge, card, empty, link, money, notice, platformName, sourceAges, table, to, word } from "./parts.js";
import { failureSentence } from "./sentences.js";
import { t } from "./words.js";

const FAILED_EVERY_SECONDS = 15;
const LAG_MOST = 10_000;
const REASONS_SHOWN = 4;
const PATIENCE_MS = 100;

export const view = {
  async load({ may, serves, signal, refresh, caller }) {
    const operations = may("operations:read");
    const reviews = may("withdrawals:review") && serves("/v1/withdrawals");
    const approves = may("adjustments:approve") && serves("/v1/adjustments");
    const seldom = (path) => getEvery(FAILED_EVERY_SECONDS, path);
    const soon = (name, list) => inTime(`${caller.actor} ${name}`, list.catch(unavailable), refresh);
    const letters = withQuery(at("dead-letters"), { open: "true", limit: 200 });
    const [totals, workers, failed, parked, sources, payouts, channels, proposed] = await Promise.all([
      may("balances:read") ? get(at("totals"), signal) : null,
      operations ? get(at("workers"), signal) : null,
      operations ? soon("failed", collect(letters, 5, seldom)) : null,
      operations ? soon("parked", collect(withQuery(at("parked-keys"), { limit: 200 }), 5, seldom)) : null,
      operations && serves("/v1/sources") ? get(at("sources"), signal) : null,
      reviews ? soon("payouts", payoutStates(seldom)) : null,
      reviews ? soon("channels", seldom(at("channels"))) : null,
      approves ? soon("proposed", collect(withQuery(at("adjustments"), { state: "proposed", limit: 200 }), 1, seldom)) : null,
    ]);
    const unread = operations && !(failed && parked);
    const pending = unread || (reviews && !(payouts && channels)) || (approves && !proposed);
    return { totals, workers, failed, parked, sources, payouts, channels, proposed, unread, pending };
  },

  render(data) {
    return h(
      "div",
      { class: "grid" },
      wellness(data),
      data.totals ? owed(data.totals) : null,
      data.totals ? maturing(data.totals) : null,
      data.failed && data.parked ? failed(data) : null,
      data.unread ? card(t("nav.failures"), h("p", { class: "empty loading" }, t("loading"))) : null,
      data.workers ? load(data.workers) : null,
      data.workers ? workers(data.workers, data.totals) : null,
      data.payouts ? payouts(data.payouts.items) : null,
      data.sources ? card(t("nav.sources"), sourceAges(data.sources.items)) : null,
    );
  },
};

function unavailable(error) {
  return { items: [], more: false, error };
}

const before = new Map();

// Return a list; if it takes longer than the other figures should wait, what it was before (null at first), and
// then the view follows by itself.
function inTime(name, list, refresh) {
  let late = false;
  const patience = new Promise((resolve) => {
    setTimeout(() => resolve(null), PATIENCE_MS);
  });
  list.then((found) => {
    before.set(name, found);
    if (late) refresh();
  });
  return Promise.race([list, patience]).then((found) => {
    late = found === null;
    return found ?? before.get(name) ?? null;
  });
}

// Return what is not well: {text, to, tone}.
function problems({ totals, workers, failed, parked, sources, payouts, channels, proposed }) {
  const found = [];
  const add = (tone, text, parts) => found.push({ tone, text, parts });
  for (const worker of workers?.items ?? []) {
    if (!worker.alive) add("bad", t("ill.dead", { url: worker.url }), ["overview"]);
    else if (!worker.ready) add("warn", t("ill.starting", { url: worker.url }), ["overview"]);
    for (const each of worker.halted)
      add("bad", t("ill.halted", { topic: each.topic, partition: each.partition, why: word("halted", each.halted) }), ["failures"]);
  }
  if (totals?.unavailable.length) add("bad", t("ill.unavailable", { partitions: totals.unavailable.join(", ") }), ["overview"]);
  const lag = (totals?.as_of ?? []).reduce((sum, each) => sum + each.lag, 0);
  if (lag > LAG_MOST) add("warn", t("ill.lag", { count: count(lag) }), ["overview"]);
  if (workers?.unstable.length) add("warn", t("ill.unstable", { count: workers.unstable.length }), ["overview"]);
  const open = failed?.items.length ?? 0;
  if (open) add("warn", t("ill.failed", { count: open + (failed.more ? "+" : "") }), ["failures"]);
  if (parked?.items.length) add("bad", t("ill.parked", { count: parked.items.length }), ["failures"]);
  for (const each of [failed, parked]) if (each?.error) add("warn", t("ill.unseen"), ["failures"]);
  for (const item of sources?.items ?? []) {
    const age = Math.max(0, ...item.jobs.map((job) => job.age_seconds ?? 0));
    if (item.stopped || item.jobs.some((job) => job.stopped)) add("bad", t("ill.source-stopped", { account: item.account }), ["sources"]);
    else if (item.state !== "paused" && age > OLD_SECONDS) add("warn", t("ill.source-late", { account: item.account, age: duration(age) }), ["sources"]);
  }
  if ([payouts, channels, proposed].some((each) => each?.error)) add("warn", t("ill.unseen-money"), ["withdrawals"]);
  const states = new Map(payouts?.items ?? []);
  const number = (state) => count(states.get(state).count) + (states.get(state).more ? "+" : "");
  if (states.has("stuck")) add("bad", t("ill.stuck", { count: number("stuck") }), ["withdrawals"]);
  for (const each of channels?.items ?? []) {
    const waits = each.state === "paused" || (each.state === "closed" && each.open);
    if (waits) add("bad", t("ill.channel", { name: each.name, state: word("channel", each.state), count: count(each.open ?? 0) }), ["withdrawals"]);
  }
  if (states.has("review")) add("warn", t("ill.review", { count: number("review") }), ["withdrawals"]);
  if (proposed?.items.length) add("warn", t("ill.proposed", { count: proposed.items.length + (proposed.more ? "+" : "") }), ["adjustments"]);
  return found;
}

function wellness(data) {
  const found = problems(data);
  if (!found.length && data.pending) return h("div", { class: "notice plain wide", role: "status", key: "well" }, t("loading"));
  if (!found.length) return h("div", { class: "notice good wide", role: "status", key: "well" }, h("strong", {}, t("well")));
  return h(
    "div",
    { class: `notice wide ${found.some((each) => each.tone === "bad") ? "bad" : "warn"}`, role: "status", key: "well" },
    h("strong", {}, t("not-well", { count: found.length })),
    h("ul", {}, found.map((each) => h("li", {}, link(each.parts, each.text)))),
  );
}

function tile(name, fen, hint, parts) {
  const figure = money(fen, "large");
  return h("div", { class: "tile" }, h("span", { class: "name" }, name), parts ? h("a", { href: to(parts) }, figure) : figure, h("span", { class: "hint" }, hint));
}

const BUCKETS = ["available", "confirmed", "held", "estimated", "frozen", "withdrawn"];

function owed(totals) {
  const users = ["users"];
  const tiles = BUCKETS.map((name) => tile(t(`bucket.${name}`), totals[name], t(`bucket.${name}.hint`), users));
  const platforms = Object.entries(totals.platforms);
  const columns = [
    { title: t("platform"), cell: ([name]) => platformName(name) },
    ...["available", "confirmed", "held", "estimated"].map((bucket) => ({
      title: t(`bucket.${bucket}`), number: true, cell: ([, sums]) => money(sums[bucket]),
    })),
  ];
  const owing = totals.available + totals.confirmed + totals.held + totals.frozen + totals.debt;
  return h(
    "section",
    { class: "card wide", key: "owed" },
    h("h2", {}, t("owed")),
    h("p", { class: "lead" }, t("owed.sum", { amount: yuan(owing), users: count(totals.users) }), " ", h("small", {}, t("owed.sum.hint"))),
    h("div", { class: "tiles" }, tiles, tile(t("bucket.debt"), totals.debt, t("bucket.debt.hint"), users), tile(t("bucket.suspense"), totals.suspense, t("bucket.suspense.hint"), ["orders"])),
    h("h3", {}, t("by-platform")),
    table(t("by-platform"), columns, platforms, ([name]) => name),
    h("p", { class: "detail" }, t("lines.counts", { open: count(totals.lines.open), settled: count(totals.lines.settled), closed: count(totals.lines.closed) })),
  );
}

function maturing(totals) {
  return h("section", { class: "card", key: "maturing" }, maturingChart(totals.maturing, t("maturing")));
}

// Return the minutes of all workers as one: sums of counts, the worst of ages and times.
function minutes(workers) {
  const found = new Map();
  for (const worker of workers.items) {
    for (const sample of worker.samples ?? []) {
      const minute = sample.at.slice(0, 16);
      const sum = found.get(minute) ?? { at: sample.at, facts: 0, requests: 0, age: null, p99: null };
      sum.facts += sample.facts;
      sum.requests += sample.requests;
      sum.age = worst(sum.age, sample.event_age_seconds);
      sum.p99 = worst(sum.p99, sample.p99_seconds);
      found.set(minute, sum);
    }
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).slice(-60).map(([, sum]) => sum);
}

function worst(a, b) {
  if (a === null) return b;
  return b === null ? a : Math.max(a, b);
}

function load(workers) {
  const samples = minutes(workers);
  const points = (value) => samples.map((sample) => ({ label: clock(sample.at), tick: clock(sample.at), value: value(sample) }));
  const line = (title, unit, format, value) =>
    chart({ title: t(title), unit, kind: "line", format, points: points(value), columns: [t("minute"), t(title)] });
  const rate = (number) => `${number >= 10 ? count(Math.round(number)) : Number(number.toPrecision(2))}`;
  return h(
    "section",
    { class: "card wide", key: "load" },
    h("h2", {}, t("last-hour")),
    h(
      "div",
      { class: "charts" },
      line("chart.orders", t("unit.per-second"), rate, (sample) => sample.facts / 60),
      line("chart.age", t("unit.seconds"), duration, (sample) => sample.age),
      line("chart.p99", t("unit.seconds"), duration, (sample) => sample.p99),
    ),
  );
}

function workers(answer, totals) {
  const lag = new Map((totals?.as_of ?? []).map((each) => [each.partition, each.lag]));
  const restoring = (url) => (url.self ? answer.restoring : []);
  const condition = (worker) => {
    if (!worker.alive) return badge(t("worker.dead"), "bad");
    if (worker.halted.length) return badge(t("worker.halted"), "bad");
    if (!worker.ready) return badge(t("worker.starting"), "warn");
    return badge(t("worker.ready"), "good");
  };
  const numbers = (list) => (list?.length ? list.join(", ") : "–");
  const topics = [...new Set(answer.items.flatMap((worker) => Object.keys(worker.partitions)))].sort();
  const columns = [
    { title: t("worker"), cell: (worker) => h("span", { class: "id" }, worker.url) },
    { title: t("state"), cell: condition },
    ...topics.map((topic) => ({ title: t("partitions-of", { topic }), class: "wrap", cell: (worker) => numbers(worker.partitions[topic]) })),
    {
      title: t("lag"), number: true,
      cell: (worker) => count((worker.partitions["rebate-user-log"] ?? []).reduce((sum, each) => sum + (lag.get(each) ?? 0), 0)),
    },
    {
      title: t("restoring"), class: "wrap",
      cell: (worker) => restoring(worker).map((part) => h("div", {}, `${part.topic}/${part.partition}: ${count(part.position)} / ${count(part.end)}`)),
    },
  ];
  return h("section", { class: "card wide", key: "workers" }, h("h2", {}, t("workers")), table(t("workers"), columns, answer.items, (worker) => worker.url));
}

function failed({ failed: letters, parked }) {
  const byReason = new Map();
  for (const letter of letters.items) byReason.set(letter.reason, (byReason.get(letter.reason) ?? 0) + 1);
  const rows = [...byReason.entries()].sort((a, b) => b[1] - a[1]);
  const columns = [
    { title: t("reason"), class: "wrap", cell: ([reason]) => [link(["failures"], failureSentence(reason), { reason }), h("small", { class: "id" }, reason)] },
    { title: t("open-letters"), number: true, cell: ([, number]) => count(number) },
  ];
  return card(
    t("nav.failures"),
    letters.more ? notice("warn", t("failures.more")) : null,
    letters.error || parked.error ? notice("warn", t("ill.unseen")) : null,
    rows.length || letters.error ? null : empty(t("failures.none")),
    rows.length ? table(t("failures.by-reason"), columns, rows.slice(0, REASONS_SHOWN), ([reason]) => reason) : null,
    rows.length > REASONS_SHOWN ? h("p", {}, link(["failures"], t("failures.others", { count: rows.length - REASONS_SHOWN }))) : null,
    h("p", {}, link(["failures"], t("parked.count", { count: parked.items.length }))),
  );
}

function payouts(states) {
  const columns = [
    { title: t("state"), cell: ([state]) => link(["withdrawals"], word("withdrawal", state), { state }) },
    { title: t("count"), number: true, cell: ([, sum]) => count(sum.count) + (sum.more ? "+" : "") },
    { title: t("amount"), number: true, cell: ([, sum]) => money(sum.amount) },
  ];
  return card(t("payouts"), table(t("payouts"), columns, states, ([state]) => state));
}

// Return {items: [state, {count, amount, more}]} of those that are under way.
async function payoutStates(read) {
  const sums = await Promise.all(
    OPEN_STATES.map(async (state) => {
      const { items, more } = await collect(withQuery(at("withdrawals"), { state, limit: 200 }), 3, read);
      return [state, { count: items.length, amount: items.reduce((sum, item) => sum + item.amount, 0), more }];
    }),
  );
  return { items: sums.filter(([, sum]) => sum.count) };
}
