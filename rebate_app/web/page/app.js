// The frame of the page: who is signed in, which view is shown, and its refresh every five seconds.

import { ApiError, at, forget, get, write } from "./api.js";
import { h, show } from "./dom.js";
import { moment } from "./format.js";
import { explained, failure, notice, to, toast } from "./parts.js";
import { language, setLanguage, t } from "./words.js";

const REFRESH_MS = 5_000;

// Any of its `scopes` shows a view; `path` is the resource that it needs. Its module, of the same name, exports
// `view` with `load` and `render`, and is fetched when the view is opened.
const VIEWS = {
  overview: { scopes: ["balances:read", "operations:read"] },
  users: { scopes: ["balances:read"] },
  orders: { scopes: ["balances:read"] },
  withdrawals: { scopes: ["withdrawals:review"], path: "/v1/withdrawals" },
  adjustments: { scopes: ["adjustments:approve", "adjustments:write"], path: "/v1/adjustments" },
  failures: { scopes: ["operations:read"] },
  sources: { scopes: ["operations:read"], path: "/v1/sources" },
  rules: { scopes: ["balances:read"] },
  trail: { scopes: ["operations:read"] },
};

const root = document.getElementById("app");
const state = { caller: null, paths: new Set(), route: null, view: null, data: null, error: null, loaded: null, ended: false };
let timer = null;
let running = null;

function may(scope) {
  return state.caller?.may.includes(scope) ?? false;
}

function serves(path) {
  return state.paths.has(path);
}

function visible() {
  return Object.entries(VIEWS).filter(([, view]) => view.scopes.some(may));
}

function readRoute() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const segments = path.split("/").filter(Boolean).map(decoded);
  return { name: segments[0] || visible()[0]?.[0], segments: segments.slice(1), query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

// What a view gets to load and to render.
function context(route, signal) {
  return { ...route, may, serves, signal, refresh, caller: state.caller };
}

async function refresh() {
  clearTimeout(timer);
  running?.abort();
  const entry = VIEWS[state.route?.name];
  if (!entry || !state.caller || !entry.scopes.some(may) || (entry.path && !serves(entry.path))) return;
  const controller = (running = new AbortController());
  const route = state.route;
  try {
    const { view } = await import(`./${route.name}.js`);
    const data = await view.load(context(route, controller.signal));
    if (controller !== running) return;
    Object.assign(state, { view, data, error: null, loaded: Date.now() });
  } catch (error) {
    if (controller !== running || controller.signal.aborted) return;
    if (error instanceof ApiError && error.status === 401) return ended();
    state.error = error;
    if (!(error instanceof ApiError)) console.error(error);
  }
  draw();
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

function ended() {
  Object.assign(state, { caller: null, data: null, error: null, ended: true });
  draw();
}

function navigate() {
  const before = state.route;
  state.route = readRoute();
  const same = before && to([before.name, ...before.segments]) === to([state.route.name, ...state.route.segments]);
  if (!same) Object.assign(state, { view: null, data: null, error: null, loaded: null });
  draw();
  if (before && !same) {
    scrollTo(0, 0);
    document.getElementById("title")?.focus({ preventScroll: true });
  }
  refresh();
}

function draw() {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  const name = state.caller && VIEWS[state.route?.name] ? t(`nav.${state.route.name}`) : t("product");
  document.title = `${name} · ${t("product")}`;
  show(root, state.caller ? shell() : signIn());
}

function languages() {
  const other = language() === "zh" ? "en" : "zh";
  const change = () => {
    setLanguage(other);
    draw();
    refresh();
  };
  return h("button", { type: "button", class: "quiet", lang: other === "zh" ? "zh-CN" : "en", on: { click: change } }, other === "zh" ? "中文" : "English");
}

function shell() {
  const anonymous = state.caller.kind === "anonymous";
  return h(
    "div",
    { class: "shell", key: "shell" },
    h("a", { class: "skip", href: "#content", on: { click: skip } }, t("skip")),
    h(
      "header",
      { class: "side" },
      h("a", { class: "brand", href: "#/" }, h("img", { src: "page/icon.svg", alt: "", width: 26, height: 26 }), t("product")),
      h(
        "nav",
        { "aria-label": t("views") },
        visible().map(([each]) =>
          h("a", { href: to([each]), key: each, "aria-current": each === state.route?.name ? "page" : null }, t(`nav.${each}`)),
        ),
      ),
      h(
        "div",
        { class: "who" },
        h("span", { class: "actor", title: state.caller.actor }, state.caller.name || state.caller.actor),
        languages(),
        anonymous ? null : h("button", { type: "button", class: "quiet", on: { click: signOut } }, t("sign-out")),
      ),
    ),
    h("main", { id: "content", tabindex: -1 }, anonymous ? notice("warn banner", t("anonymous")) : null, content(), footer()),
  );
}

function skip(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

function footer() {
  const stamp = state.loaded ? `${t("refreshed")} ${moment(state.loaded).slice(11)}` : "";
  return h("footer", {}, h("span", {}, t("zone")), h("span", { class: "stamp" }, stamp));
}

function heading(title) {
  return h("h1", { id: "title", tabindex: -1 }, title);
}

function content() {
  const { route, data, error } = state;
  const entry = VIEWS[route?.name];
  const part = (key, ...children) => h("div", { class: "view", key }, ...children);
  if (!entry) return part("none", heading(t("no-view")), h("p", {}, t(visible().length ? "no-view.hint" : "no-scope")));
  const title = heading(state.view?.title?.(context(route)) ?? t(`nav.${route.name}`));
  if (!entry.scopes.some(may)) return part("forbidden", title, notice("warn", t("forbidden", { scope: entry.scopes.join(", ") })));
  if (entry.path && !serves(entry.path)) return part(`absent ${route.name}`, title, notice("plain", t(`absent.${route.name}`)));
  const key = to([route.name, ...route.segments]);
  if (state.loaded === null && error) return part(key, title, failure(error, refresh));
  if (state.loaded === null) return part(key, title, h("div", { class: "loading", role: "status" }, t("loading")));
  const late = error ? notice("warn", t("stale", { at: moment(state.loaded).slice(11), why: explained(error) })) : null;
  try {
    return part(key, title, late, state.view.render(data, context(route)));
  } catch (problem) {
    console.error(problem);
    return part(key, title, failure(problem));
  }
}

function signIn() {
  const problem = h("div", { key: "problem" });
  const submit = async (event) => {
    event.preventDefault();
    const key = new FormData(event.currentTarget).get("key").trim();
    try {
      const answer = await write("POST", at("session"), { key });
      await start(answer);
    } catch (error) {
      document.querySelector(".sign-in .problem").replaceChildren(failure(error));
    }
  };
  problem.className = "problem";
  return h(
    "main",
    { class: "sign-in", key: "sign-in" },
    h("img", { src: "page/icon.svg", alt: "", width: 44, height: 44 }),
    h("h1", { id: "title" }, t("product")),
    h("p", {}, t(state.ended ? "session-ended" : "sign-in.hint")),
    h(
      "form",
      { on: { submit } },
      h("label", {}, h("span", {}, t("api-key")), h("input", { name: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false", placeholder: "rbk_…" })),
      problem,
      h("button", { class: "primary" }, t("sign-in")),
    ),
    languages(),
  );
}

async function signOut() {
  try {
    await write("DELETE", at("session"));
  } catch (error) {
    toast(explained(error));
    return;
  }
  running?.abort();
  forget();
  Object.assign(state, { caller: null, data: null, error: null, ended: false });
  clearTimeout(timer);
  draw();
}

async function start(session) {
  forget();
  state.caller = session.caller;
  state.ended = false;
  if (state.caller) state.route = null;
  if (state.caller) navigate();
  else draw();
}

addEventListener("hashchange", () => state.caller && navigate());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});

try {
  const [session, paths] = await Promise.all([get(at("session")), get("page/paths.json")]);
  state.paths = new Set(paths);
  await start(session);
} catch (error) {
  show(root, h("main", { class: "sign-in" }, h("h1", {}, t("product")), failure(error, () => location.reload())));
}
