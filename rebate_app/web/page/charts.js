// Charts: an SVG with axes and units, a value for the pointer and the arrow keys, and a table of all values.
// A chart is drawn anew when its box changes its width, so its text has the size of the page's.

import { h, s, show } from "./dom.js";
import { t } from "./words.js";

const HEIGHT = 200;
const MARGIN = { left: 64, right: 12, top: 14, bottom: 30 };

const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.drawn !== target.clientWidth) target.draw();
});

// Return round numbers from 0 to at least `most`.
function ticks(most) {
  const rough = Math.max(most, 1e-9) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, number) => number * step);
}

// Return a chart. `kind` is line or bars; `points` have {label, tick, value}, value null for none.
// `format` makes text of a value, `axis` of a tick; `least` is the smallest greatest tick.
export function chart({ title, kind, points, format, axis = format, unit, columns, least = 0, note }) {
  const values = points.map((point) => point.value).filter((value) => value !== null);
  const box = h("div", { class: "plot" });
  // After a refresh the box on the screen draws what this one was made for, so it is `this` that is drawn into.
  box.draw = function draw() {
    if (!this.clientWidth) return;
    this.drawn = this.clientWidth;
    const chosen = points.findIndex((point) => point.label === this.chosen);
    this.selected = chosen < 0 ? points.length - 1 : chosen;
    show(this, drawing(this, { title, kind, points, format, axis, least }));
  };
  observer.observe(box);
  return h(
    "figure",
    { class: "chart", key: `chart ${title}` },
    h("figcaption", {}, h("strong", {}, title), " ", h("span", { class: "unit" }, unit)),
    values.length ? box : h("p", { class: "empty" }, t("chart.empty")),
    note ? h("p", { class: "detail" }, note) : null,
    values.length ? valuesTable(title, columns, points, format) : null,
  );
}

function valuesTable(title, columns, points, format) {
  return h(
    "details",
    {},
    h("summary", {}, t("chart.table"), h("span", { class: "offscreen" }, ` ${title}`)),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      h(
        "table",
        {},
        h("caption", { class: "offscreen" }, title),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, columns[0]), h("th", { scope: "col", class: "number" }, columns[1]))),
        h(
          "tbody",
          {},
          points.map((point) =>
            h("tr", {}, h("th", { scope: "row" }, point.label), h("td", { class: "number" }, point.value === null ? "–" : format(point.value))),
          ),
        ),
      ),
    ),
  );
}

function drawing(box, { title, kind, points, format, axis, least }) {
  const width = box.clientWidth;
  const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const levels = ticks(Math.max(least, ...points.map((point) => point.value ?? 0)));
  const top = levels.at(-1);
  const slot = inner.width / points.length;
  const x = (number) => MARGIN.left + (number + 0.5) * slot;
  const y = (value) => MARGIN.top + inner.height * (1 - Math.max(0, value) / top);
  const select = (number) => {
    box.chosen = points[Math.max(0, Math.min(points.length - 1, number))].label;
    box.draw();
  };
  const text = (point) => `${point.label}: ${point.value === null ? t("chart.none") : format(point.value)}`;
  return s(
    "svg",
    {
      width, height: HEIGHT, role: "slider", tabindex: 0, "aria-label": title,
      "aria-valuemin": 0, "aria-valuemax": points.length - 1, "aria-valuenow": box.selected,
      "aria-valuetext": text(points[box.selected]),
      on: {
        keydown: (event) => {
          const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -points.length, End: points.length };
          if (!(event.key in moves)) return;
          event.preventDefault();
          select(box.selected + moves[event.key]);
        },
        pointermove: (event) => {
          const left = event.clientX - box.getBoundingClientRect().left - MARGIN.left;
          select(Math.floor(left / slot));
        },
      },
    },
    levels.map((level) => [
      s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(level), y2: y(level) }),
      s("text", { class: "tick", x: MARGIN.left - 8, y: y(level) + 4, "text-anchor": "end" }, axis(level)),
    ]),
    bottomTicks(points, width).map((number) =>
      s("text", { class: "tick", x: x(number), y: HEIGHT - 8, "text-anchor": "middle" }, points[number].tick),
    ),
    kind === "bars" ? bars(points, x, y, slot, box.selected) : curve(points, x, y),
    pointer(points, box.selected, x, y, width, text, kind),
  );
}

// Return the numbers of the points that have a label below the axis.
function bottomTicks(points, width) {
  const every = Math.max(1, Math.ceil(points.length / Math.max(2, Math.floor((width - 80) / 84))));
  return points.map((_, number) => number).filter((number) => number % every === Math.floor(every / 2));
}

function bars(points, x, y, slot, selected) {
  const wide = Math.max(2, Math.min(36, slot * 0.66));
  return points.map((point, number) =>
    s("rect", {
      class: number === selected ? "bar selected" : "bar",
      x: x(number) - wide / 2, width: wide, rx: Math.min(2, wide / 4),
      y: y(point.value ?? 0), height: y(0) - y(point.value ?? 0),
    }),
  );
}

function curve(points, x, y) {
  const runs = [];
  let run = [];
  points.forEach((point, number) => {
    if (point.value === null) {
      if (run.length) runs.push(run);
      run = [];
    } else run.push(`${x(number).toFixed(1)} ${y(point.value).toFixed(1)}`);
  });
  if (run.length) runs.push(run);
  return runs.map((each) =>
    each.length > 1
      ? s("path", { class: "curve", d: `M${each.join("L")}` })
      : s("circle", { class: "dot", cx: each[0].split(" ")[0], cy: each[0].split(" ")[1], r: 2 }),
  );
}

function pointer(points, number, x, y, width, text, kind) {
  const point = points[number];
  const words = text(point);
  const wide = 16 + 7.2 * [...words].reduce((sum, c) => sum + (c > "\u2e80" ? 2 : 1), 0);
  const left = Math.max(MARGIN.left, Math.min(width - wide - 2, x(number) - wide / 2));
  return s(
    "g",
    { class: "pointer", "aria-hidden": "true" },
    kind === "line" ? s("line", { x1: x(number), x2: x(number), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }) : null,
    point.value !== null && kind === "line" ? s("circle", { cx: x(number), cy: y(point.value), r: 4 }) : null,
    s("rect", { class: "tip", x: left, y: 0, width: wide, height: 24, rx: 4 }),
    s("text", { class: "tip", x: left + 8, y: 16 }, words),
  );
}
