// The pieces of which every view is made: ids, amounts, moments, tables, cards, notices, dialogs.

import { ApiError, forget, write } from "./api.js";
import { h, s } from "./dom.js";
import { duration, moment, signed, yuan } from "./format.js";
import { has, t } from "./words.js";

// Return the address of a view: link("users", id) and a query.
export function to(parts, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value);
  const path = parts.map(encodeURIComponent).join("/");
  return `#/${path}${pairs.length ? `?${new URLSearchParams(pairs)}` : ""}`;
}

export function link(parts, text, query) {
  return h("a", { href: to(parts, query) }, text);
}

export function userLink(userId) {
  return userId ? h("a", { href: to(["users", userId]), class: "id" }, userId) : "–";
}

export function lineLink(platform, id) {
  return h("a", { href: to(["orders", platform, id]), class: "id" }, id);
}

export function platformName(name) {
  return has(`platform.${name}`) ? t(`platform.${name}`) : name;
}

// Return the word for a value of an enumeration, the value itself where there is none.
export function word(group, value) {
  if (value === null || value === undefined || value === "") return "–";
  return has(`${group}.${value}`) ? t(`${group}.${value}`) : String(value);
}

export function money(fen, extra = "") {
  const sign = fen < 0 ? " negative" : fen === 0 ? " zero" : "";
  return h("span", { class: `money${sign} ${extra}`.trim() }, yuan(fen));
}

// Return a change of an account, with its sign.
export function change(fen) {
  return h("span", { class: `money${fen < 0 ? " negative" : ""}` }, signed(fen));
}

export function time(text) {
  if (!text) return "–";
  return h("time", { datetime: String(text), title: `${moment(text)} (UTC+08:00)` }, moment(text));
}

export function toast(text) {
  const box = document.getElementById("toasts");
  const item = h("div", { class: "toast" }, text);
  box.append(item);
  setTimeout(() => item.remove(), 6_000);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
    document.body.append(area);
    area.value = text;
    area.select();
    document.execCommand("copy"); // where the page is not served over TLS, there is nothing else
    area.remove();
  }
  toast(t("copied", { text: text.length > 60 ? `${text.slice(0, 60)}…` : text }));
}

// Return an id that can be copied.
export function copyable(text, shown = null) {
  const icon = s(
    "svg",
    { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
    s("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5 }),
    s("path", { d: "M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" }),
  );
  return h(
    "span",
    { class: "copyable" },
    shown ?? h("span", { class: "id" }, text),
    h("button", { type: "button", class: "copy", "aria-label": `${t("copy")} ${text}`, title: t("copy"), on: { click: () => copy(text) } }, icon),
  );
}

// Return a small label; `tone` is good, warn, bad or plain.
export function badge(text, tone = "plain") {
  return h("span", { class: `badge ${tone}` }, text);
}

export function notice(tone, ...children) {
  return h("div", { class: `notice ${tone}`, role: tone === "bad" ? "alert" : "note" }, ...children);
}

export function card(title, ...children) {
  return h("section", { class: "card", key: `card ${title}` }, h("h2", {}, title), ...children);
}

export function empty(text) {
  return h("p", { class: "empty" }, text);
}

// Return a table. Columns: {title, cell: row => content, number}; rows have keys by `keyOf`.
export function table(label, columns, rows, keyOf, none = t("nothing")) {
  if (!rows.length) return empty(none);
  const cells = (row) =>
    columns.map((column) => h("td", { class: column.number ? "number" : column.class }, column.cell(row)));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("caption", { class: "offscreen" }, label),
      h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col", class: c.number ? "number" : c.class }, c.title)))),
      h("tbody", {}, rows.map((row, number) => h("tr", { key: keyOf ? keyOf(row) : number }, cells(row)))),
    ),
  );
}

// Return pairs of name and value.
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))));
}

// Return a form whose fields become the query of a view. Fields: {name, label, type, options, value, width}.
export function filters(parts, fields, keep = {}) {
  const submit = (event) => {
    event.preventDefault();
    const query = { ...keep };
    for (const [name, value] of new FormData(event.currentTarget)) if (value.trim()) query[name] = value.trim();
    location.hash = to(parts, query);
  };
  return h(
    "form",
    { class: "filters", on: { submit }, key: `filters ${fields.map((each) => `${each.name}=${each.value ?? ""}`).join("&")}` },
    fields.map((each) => h("label", { class: each.width }, h("span", {}, each.label), field(each))),
    h("button", { class: "primary" }, t("search")),
  );
}

function field({ name, type = "text", options, value, required, maxlength, placeholder }) {
  if (options) {
    return h(
      "select",
      { name, required },
      options.map(([option, text]) => h("option", { value: option, selected: option === (value ?? "") }, text)),
    );
  }
  if (type === "area") return h("textarea", { name, required, maxlength, rows: 3, placeholder }, value ?? "");
  return h("input", { name, type, value, required, maxlength, placeholder, autocomplete: "off", spellcheck: "false" });
}

// Return links to the first and to the next page of a list.
export function pager(parts, query, nextCursor) {
  if (!nextCursor && !query.cursor) return null;
  return h(
    "nav",
    { class: "pager", "aria-label": t("pages") },
    query.cursor ? link(parts, t("first-page"), { ...query, cursor: "" }) : null,
    nextCursor ? link(parts, t("next-page"), { ...query, cursor: nextCursor }) : null,
  );
}

// Return what an error means to a person.
export function explained(error) {
  if (!(error instanceof ApiError)) return t("error.page", { detail: error.message });
  const known = has(`problem.${error.code}`) ? t(`problem.${error.code}`) : null;
  return known ?? t("error.refused", { status: error.status, code: error.code });
}

export function failure(error, retry) {
  const details = error instanceof ApiError ? error.message : "";
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, h("strong", {}, explained(error))),
    details ? h("p", { class: "detail" }, details) : null,
    error.requestId ? h("p", { class: "detail" }, t("request-id"), " ", copyable(error.requestId)) : null,
    retry ? h("button", { type: "button", on: { click: retry } }, t("retry")) : null,
  );
}

// Marks that answers have while they are not the newest truth.
export function marks(answer) {
  return [
    answer.stale ? notice("warn", t("mark.stale", { lag: answer.as_of?.lag ?? "?" })) : null,
    answer.halted ? notice("bad", t("mark.halted", { reason: word("halted", answer.halted) })) : null,
    answer.under_review ? notice("warn", t("mark.under_review"), " ", link(["failures"], t("nav.failures"))) : null,
    answer.visible === false ? notice("warn", t("mark.invisible")) : null,
  ];
}

export function action(text, onClick, tone = "") {
  return h("button", { type: "button", class: tone, on: { click: onClick } }, text);
}

// Open a dialog with fields; `send` gets their values and does it. What it returns is announced.
export function ask({ title, text, fields = [], confirm, danger, send, done }) {
  const problem = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    const button = form.querySelector("button.submit");
    button.disabled = true;
    try {
      const said = await send(Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()])));
      forget();
      dialog.close();
      toast(said ?? t("done"));
      done?.();
    } catch (error) {
      problem.replaceChildren(failure(error));
    } finally {
      button.disabled = false;
    }
  };
  const form = h(
    "form",
    { on: { submit } },
    h("h2", { id: "dialog-title" }, title),
    text ? h("p", {}, text) : null,
    fields.map((each) => h("label", {}, h("span", {}, each.label), field(each), each.hint ? h("small", {}, each.hint) : null)),
    problem,
    h(
      "div",
      { class: "buttons" },
      h("button", { type: "button", on: { click: () => dialog.close() } }, t("cancel")),
      h("button", { class: `submit ${danger ? "danger" : "primary"}` }, confirm),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", on: { close: () => dialog.remove() } }, form);
  document.body.append(dialog);
  dialog.showModal();
}

export const REASON = () => ({ name: "reason", label: t("reason"), hint: t("reason.hint"), type: "area", required: true, maxlength: 200 });

const STATUS_TONES = { settled: "good", punished: "bad", unknown: "warn" };

// Return the state of an order line.
export function status(value) {
  return value ? badge(word("status", value), STATUS_TONES[value] ?? "plain") : "–";
}

// Withdrawals under way: those that somebody has to look at come first.
export const OPEN_STATES = ["stuck", "sending", "needs-user", "review", "approved", "requested"];

const SOURCE_TONES = { running: "good", waiting: "plain", paused: "warn", stopped: "bad" };
export const OLD_SECONDS = 1_800; // the alert's bound

// Return the state of a job, which makes no calls while its account makes none.
export function jobState(item, job) {
  return word("source", ["paused", "stopped"].includes(item.state) ? item.state : job.state);
}

export function sourceState(item) {
  return badge(word("source", item.state), SOURCE_TONES[item.state] ?? "plain");
}

export function watermarkAge(job) {
  const text = duration(job.age_seconds);
  return (job.age_seconds ?? 0) > OLD_SECONDS ? badge(text, "warn") : text;
}

// The ages of all watermarks, for the overview.
export function sourceAges(items) {
  const rows = items.flatMap((item) => (item.jobs.length ? item.jobs : [{ job: "–" }]).map((job) => ({ item, job })));
  return table(t("nav.sources"), [
    { title: t("source"), cell: ({ item }) => link(["sources"], item.account) },
    { title: t("state"), cell: ({ item }) => sourceState(item) },
    { title: t("job"), cell: ({ job }) => job.job },
    { title: t("watermark-age"), number: true, cell: ({ job }) => watermarkAge(job) },
  ], rows, ({ item, job }) => `${item.account} ${job.job}`, t("sources.none"));
}

export { write };
