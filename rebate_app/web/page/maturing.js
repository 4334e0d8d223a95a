// What becomes available on each of the next days, as bars: of all users, or of one.

import { chart } from "./charts.js";
import { dayAfter, today, yuan } from "./format.js";
import { t } from "./words.js";

const DAYS = 30;

// Return a point for each of the next days, and the sum of what comes later.
function maturingPoints(items) {
  const amounts = new Map(items.map((item) => [item.on, item.amount]));
  const start = today();
  const points = Array.from({ length: DAYS }, (_, number) => {
    const day = dayAfter(start, number + 1);
    return { label: day, tick: day.slice(5), value: amounts.get(day) ?? 0 };
  });
  const later = items.filter((item) => item.on > points.at(-1).label).reduce((sum, item) => sum + item.amount, 0);
  return { points, later };
}

export function maturingChart(items, title) {
  const { points, later } = maturingPoints(items);
  return chart({
    title, points, kind: "bars", unit: t("unit.yuan-day"), format: yuan, least: 400, axis: (fen) => yuan(Math.round(fen)).replace(/\.00$/, ""),
    columns: [t("day"), t("amount")], note: later ? t("maturing.later", { amount: yuan(later) }) : null,
  });
}
