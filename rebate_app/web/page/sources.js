// Sources: the accounts from which orders are fetched, how far each has come, and what holds it up.

import { at, get } from "./api.js";
import { h } from "./dom.js";
import { count, duration } from "./format.js";
import { REASON, action, ask, facts, jobState, notice, platformName, sourceState, table, time, watermarkAge, write } from "./parts.js";
import { t } from "./words.js";

export const view = {
  load({ signal }) {
    return get(at("sources"), signal);
  },

  render({ items }, context) {
    if (!items.length) return notice("plain", t("sources.none"));
    return h("div", { class: "stack" }, items.map((item) => account(item, context)));
  },
};

function account(item, { may, serves, refresh }) {
  const verb = item.state === "paused" || item.state === "stopped" ? "resume" : "pause";
  const send = async ({ reason }) => void (await write("POST", at("sources", item.account, verb), reason ? { reason } : {}));
  const stops = [item.stopped, ...item.jobs.map((job) => job.stopped)].filter(Boolean);
  const button = may("operations:write") && serves(`/v1/sources/{account}/${verb}`)
    ? h("div", { class: "buttons" }, action(t(`source.${verb}`), () => ask({ title: t(`source.${verb}`), text: t(`source.${verb}.text`, { id: item.account }), fields: [REASON()], confirm: t(`source.${verb}`), send, done: refresh })))
    : null;
  return h(
    "section",
    { class: "card", key: item.account },
    h("h2", { class: "as-is" }, item.account, " ", sourceState(item)),
    stops.length ? notice("bad", h("p", {}, h("strong", {}, t("source.refused", { code: stops[0].code })), " ", stops[0].message, " ", time(stops[0].since)), h("p", { class: "detail" }, t("source.refused.hint"))) : null,
    item.state === "waiting" && item.worker ? notice("warn", t("source.waiting.hint")) : null,
    item.worker ? null : notice("warn", t("source.unfetched")),
    facts([
      [t("platform"), platformName(item.network)],
      [t("app"), item.app],
      [t("worker"), item.worker],
      [t("calls-today"), item.calls_today === undefined ? null : count(item.calls_today)],
      [t("budget-left"), item.budget_left === null || item.budget_left === undefined ? null : count(item.budget_left)],
      [t("clock-skew"), item.clock_skew_s === null || item.clock_skew_s === undefined ? null : duration(item.clock_skew_s)],
    ]),
    table(t("jobs"), [
      { title: t("job"), cell: (job) => job.job },
      { title: t("state"), cell: (job) => jobState(item, job) },
      { title: t("watermark"), cell: (job) => time(job.watermark) },
      { title: t("watermark-age"), number: true, cell: watermarkAge },
      ...["read", "new", "changed", "repeated", "refused"].map((name) => ({ title: t(`rows.${name}`), number: true, cell: (job) => count(job.rows?.[name] ?? 0) })),
      { title: t("last-error"), class: "wrap", cell: (job) => (job.last_error ? [`${job.last_error.code ?? job.last_error.class}: ${job.last_error.message ?? ""} `, time(job.last_error.at)] : "–") },
    ], item.jobs, (job) => job.job),
    button,
  );
}
