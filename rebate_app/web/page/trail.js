// Audit trail: who did what, newest first.

import { at, get, withQuery } from "./api.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { badge, card, copyable, filters, pager, table, time, word } from "./parts.js";
import { t } from "./words.js";

export const view = {
  load({ query, signal }) {
    const { actor, subject, action, since, cursor } = query;
    const filter = { actor, subject, action, since: since ? `${since}T00:00:00+08:00` : "", limit: 50, cursor };
    return get(withQuery(at("audit-trail"), filter), signal);
  },

  render(answer, { query }) {
    const form = filters(["trail"], [
      { name: "actor", label: t("actor"), value: query.actor, placeholder: "key:…" },
      { name: "action", label: t("action"), value: query.action, placeholder: "profile.put" },
      { name: "subject", label: t("subject"), value: query.subject, width: "grow" },
      { name: "since", label: t("since-day"), type: "date", value: query.since },
    ]);
    const columns = [
      { title: t("at"), cell: (row) => time(row.at) },
      { title: t("actor"), class: "wrap", cell: (row) => h("span", { class: "id" }, row.actor) },
      { title: t("action"), class: "wrap", cell: (row) => [word("action", row.action), row.facts ? h("small", {}, ` ${t("trail.summary", { requests: count(row.requests), facts: count(row.facts) })}`) : null] },
      { title: t("subject"), class: "wrap", cell: (row) => (row.subject ? copyable(row.subject) : "–") },
      { title: t("answer"), cell: (row) => badge(String(row.status), row.status < 300 ? "good" : "warn") },
      { title: t("reason"), class: "wrap", cell: (row) => row.reason ?? "–" },
      { title: t("via"), cell: (row) => [row.via.toUpperCase(), row.remote ? h("small", {}, ` ${row.remote}`) : null] },
      { title: t("request-id"), cell: (row) => (row.request_id ? copyable(row.request_id, h("span", { class: "id" }, row.request_id.slice(0, 12))) : "–") },
    ];
    const numbered = answer.items.map((item, number) => ({ ...item, key: `${item.at} ${item.request_id} ${number}` }));
    const none = answer.next_cursor ? t("trail.further") : t("trail.none");
    return [form, card(t("nav.trail"), table(t("nav.trail"), columns, numbered, (row) => row.key, none), pager(["trail"], query, answer.next_cursor))];
  },
};
