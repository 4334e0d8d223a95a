// Rules: published versions, the shares of one as a table, its file, and the differences between two.

import { at, get, getText } from "./api.js";
import { h } from "./dom.js";
import { count, percent, yuan } from "./format.js";
import { badge, card, copyable, facts, filters, link, platformName, table, time } from "./parts.js";
import { t } from "./words.js";

export const view = {
  title({ segments }) {
    return segments[0] ? [t("rule-version"), " ", copyable(segments[0])] : t("nav.rules");
  },

  async load({ segments, query, signal }) {
    const { items } = await get(at("rules"), signal);
    const file = (version) => (items.some((item) => item.version === version) ? getText(at("rules", version), signal) : null);
    const [shown, other] = await Promise.all([segments[0] ? getText(at("rules", segments[0]), signal) : null, query.with ? file(query.with) : null]);
    return { items, shown, other };
  },

  render(data, context) {
    return context.segments[0] ? version(data, context) : list(data);
  },
};

function list({ items }) {
  const columns = [
    { title: t("rule-version"), cell: (row) => link(["rules", row.version], row.version) },
    { title: t("effective-from"), cell: (row) => time(row.effective_from) },
    { title: t("state"), cell: (row) => (row.in_force ? badge(t("in-force"), "good") : "") },
    { title: t("replaces"), cell: (row) => (row.replaces ? link(["rules", row.replaces], row.replaces) : "–") },
    { title: t("levels"), class: "wrap", cell: (row) => row.levels.map((level) => `${level.id} ${percent(level.share_bps.default)}`).join(" · ") },
    { title: t("activated"), class: "wrap", cell: (row) => Object.keys(row.activated).join(", ") || "–" },
    { title: t("hash"), cell: (row) => (row.content_hash ? copyable(row.content_hash, h("span", { class: "id" }, row.content_hash.slice(0, 12))) : "–") },
  ];
  return card(t("rules.published"), h("p", { class: "detail" }, t("rules.hint")), table(t("rules.published"), columns, items.toReversed(), (row) => row.version));
}

function version({ items, shown, other }, { segments, query }) {
  const rule = items.find((item) => item.version === segments[0]);
  const others = items.map((item) => item.version).filter((name) => name !== segments[0]);
  const against = filters(["rules", segments[0]], [{ name: "with", label: t("compare-with"), options: [["", t("none")], ...others.map((name) => [name, name])], value: query.with }]);
  const before = items.find((item) => item.version === query.with);
  return h(
    "div",
    { class: "grid" },
    rule ? about(rule) : null,
    rule ? shares(rule, before) : null,
    h(
      "section",
      { class: "card wide", key: "file" },
      h("h2", {}, other === null ? t("rules.file") : t("rules.difference", { version: query.with })),
      others.length ? against : null,
      other === null ? h("pre", { tabindex: 0, "aria-label": t("rules.file") }, shown) : difference(other, shown),
    ),
  );
}

function about(rule) {
  return card(
    t("rule-version"),
    facts([
      [t("effective-from"), time(rule.effective_from)],
      [t("state"), rule.in_force ? badge(t("in-force"), "good") : t("not-in-force")],
      [t("replaces"), rule.replaces],
      [t("hash"), rule.content_hash ? copyable(rule.content_hash, h("span", { class: "id" }, rule.content_hash.slice(0, 12))) : null],
      [t("min-net"), yuan(rule.min_net_commission_fen)],
      [t("min-rebate"), yuan(rule.min_rebate_fen)],
      [t("max-payout"), percent(rule.max_payout_bps)],
      [t("inviter-base"), t(`base.${rule.inviter.base}`)],
    ]),
  );
}

function shares(rule, before) {
  const platforms = [...new Set(rule.levels.flatMap((level) => Object.keys(level.share_bps)))].filter((name) => name !== "default");
  const depths = Object.keys(rule.inviter.bps);
  const was = (id) => before?.levels.find((level) => level.id === id);
  const cell = (now, then) => (before && now !== then ? [h("del", {}, then === undefined ? "–" : percent(then)), " ", h("ins", {}, percent(now))] : percent(now));
  const columns = [
    { title: t("level"), cell: (level) => level.id },
    { title: t("share.default"), number: true, cell: (level) => cell(level.share_bps.default, was(level.id)?.share_bps.default) },
    ...platforms.map((name) => ({
      title: platformName(name), number: true,
      cell: (level) => cell(level.share_bps[name] ?? level.share_bps.default, was(level.id) && (was(level.id).share_bps[name] ?? was(level.id).share_bps.default)),
    })),
    ...depths.map((depth) => ({
      title: t("inviter-of", { depth: count(depth) }), number: true,
      cell: (level) => cell(rule.inviter.bps[depth][level.id] ?? 0, before && (before.inviter.bps[depth]?.[level.id] ?? 0)),
    })),
  ];
  return card(t("rules.shares"), h("p", { class: "detail" }, t("rules.shares.hint")), table(t("rules.shares"), columns, rule.levels, (level) => level.id));
}

function difference(before, after) {
  return h(
    "pre",
    { class: "difference", tabindex: 0, "aria-label": t("differences") },
    lineChanges(before.split("\n"), after.split("\n")).map(([mark, text]) => {
      if (mark === "+") return h("ins", {}, `+ ${text}\n`);
      if (mark === "-") return h("del", {}, `- ${text}\n`);
      return `  ${text}\n`;
    }),
  );
}

// Return the lines of both files in order, each with "-", "+" or " ", by their longest common subsequence.
export function lineChanges(before, after) {
  const longest = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1)
    for (let j = after.length - 1; j >= 0; j -= 1)
      longest[i][j] = before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  const changes = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const same = i < before.length && j < after.length && before[i] === after[j];
    if (same) changes.push([" ", before[i]]);
    const removed = !same && i < before.length && (j === after.length || longest[i + 1][j] >= longest[i][j + 1]);
    if (removed) changes.push(["-", before[i]]);
    if (!same && !removed) changes.push(["+", after[j]]);
    if (same || removed) i += 1;
    if (same || !removed) j += 1;
  }
  return changes;
}
