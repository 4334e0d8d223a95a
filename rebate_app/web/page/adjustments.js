// Adjustments: what staff propose to change of an account by hand, and what another person says to it.

import { at, get, withQuery } from "./api.js";
import { h } from "./dom.js";
import { fenOf, signed } from "./format.js";
import { REASON, action, ask, badge, card, change, copyable, filters, pager, table, time, userLink, word, write } from "./parts.js";
import { t } from "./words.js";

const CODES = ["goodwill", "restore", "reconciliation", "payout-recovery", "write-off", "other"];
const STATES = ["proposed", "approved", "rejected"];
const MOST_FEN = 1_000_000_000;

export const view = {
  async load({ query, may, signal }) {
    if (!may("adjustments:approve")) return null;
    return get(withQuery(at("adjustments"), { state: query.state ?? "proposed", limit: 50, cursor: query.cursor }), signal);
  },

  render(answer, context) {
    const { query, may, refresh } = context;
    const propose = may("adjustments:write") ? h("div", { class: "buttons" }, action(t("propose"), () => proposal(null, refresh), "primary")) : null;
    if (answer === null) return card(t("nav.adjustments"), h("p", {}, t("adjustments.propose-only")), propose);
    const form = filters(["adjustments"], [{ name: "state", label: t("state"), options: STATES.map((name) => [name, word("adjustment", name)]), value: query.state ?? "proposed" }]);
    const columns = [
      { title: t("proposed-at"), cell: (row) => time(row.proposed_at ?? row.at) },
      { title: t("user"), cell: (row) => userLink(row.user_id) },
      { title: t("adjustment-id"), cell: (row) => copyable(row.adjustment_id) },
      { title: t("amount"), number: true, cell: (row) => change(row.amount) },
      { title: t("reason-code"), cell: (row) => word("code", row.reason_code) },
      { title: t("reason"), class: "wrap", cell: (row) => row.reason ?? "–" },
      { title: t("proposed-by"), cell: (row) => row.proposed_by ?? row.actor ?? "–" },
      { title: t("state"), cell: (row) => badge(word("adjustment", row.state), row.state === "proposed" ? "warn" : "plain") },
      { title: "", cell: (row) => (row.state === "proposed" ? h("div", { class: "buttons" }, decision(row, "approve", context), decision(row, "reject", context)) : "") },
    ];
    return [form, card(t("nav.adjustments"), h("p", { class: "detail" }, t("adjustments.hint")), table(t("nav.adjustments"), columns, answer.items, (row) => `${row.user_id} ${row.adjustment_id}`, t("adjustments.none")), propose, pager(["adjustments"], query, answer.next_cursor))];
  },
};

function decision(row, verb, { refresh }) {
  const send = async ({ reason }) => {
    const answer = await write("POST", at("users", row.user_id, "adjustments", row.adjustment_id, verb), { reason });
    return answer?.state ? word("adjustment", answer.state) : t("accepted");
  };
  const text = t(`adjustment.${verb}.text`, { amount: signed(row.amount), id: row.user_id });
  return action(t(`adjustment.${verb}`), () => ask({ title: t(`adjustment.${verb}`), text, fields: [REASON()], confirm: t(`adjustment.${verb}`), danger: verb === "reject", send, done: refresh }), verb === "reject" ? "danger" : "");
}

// Ask for a proposal; with `id` for that user.
export function proposal(id, done) {
  const fields = [
    ...(id ? [] : [{ name: "user_id", label: t("user-id"), required: true, maxlength: 128 }]),
    { name: "amount", label: t("amount-yuan"), required: true, hint: t("amount.hint"), placeholder: "12.50" },
    { name: "reason_code", label: t("reason-code"), options: CODES.map((code) => [code, word("code", code)]) },
    REASON(),
    { name: "ref", label: t("reference"), maxlength: 64 },
  ];
  const adjustmentId = `page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`; // sent twice, it counts once
  const send = async ({ user_id: userId, amount: text, ref, ...values }) => {
    const amount = fenOf(text);
    if (!amount || Math.abs(amount) > MOST_FEN) throw new Error(t("amount.invalid"));
    const body = { adjustment_id: adjustmentId, amount, ...values, ...(ref ? { ref } : {}) };
    await write("POST", at("users", id ?? userId, "adjustments"), body);
    return t("proposed", { amount: signed(amount) });
  };
  ask({ title: t("propose"), text: id ? t("propose.text", { id }) : null, fields, confirm: t("propose"), send, done });
}
