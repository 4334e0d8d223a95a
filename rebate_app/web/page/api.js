// Requests to the API of the worker that served this page. Every refusal is an ApiError.

const TIMEOUT_MS = 15_000;

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? String(status));
    this.status = status;
    this.code = problem.code ?? (status ? `http-${status}` : "unreachable");
    this.requestId = problem.request_id ?? null;
    this.progress = problem.progress ?? null;
  }
}

// Return the path of a resource, each part encoded: at("users", id, "balance").
export function at(...parts) {
  return "v1/" + parts.map(encodeURIComponent).join("/");
}

// Return the path with a query; members that are empty are left out.
export function withQuery(path, query) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

async function send(path, options, signal) {
  const signals = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.any(signals) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, { detail: error.message });
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // no problem document: the status has to do
  }
  throw new ApiError(response.status, problem);
}

// Return the JSON of a resource; ApiError.
export async function get(path, signal) {
  return (await send(path, {}, signal)).json();
}

// Return the text of a resource; ApiError.
export async function getText(path, signal) {
  return (await send(path, {}, signal)).text();
}

// Send a JSON body; return the JSON answer, null without one. ApiError.
export async function write(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await send(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return response.status === 204 ? null : response.json();
}

const kept = new Map();

// Return the JSON of a resource that is asked for at most every so many seconds, also while it is under way.
export function getEvery(seconds, path) {
  const found = kept.get(path);
  if (found && performance.now() - found.at < seconds * 1000) return found.answer;
  const answer = get(path);
  kept.set(path, { at: performance.now(), answer });
  answer.catch(() => kept.get(path)?.answer === answer && kept.delete(path));
  return answer;
}

// Forget what `getEvery` keeps: something was changed, or somebody else signed in.
export function forget() {
  kept.clear();
}

// Return the items of a list over at most `pages` pages, and whether there are more.
export async function collect(path, pages, next) {
  const items = [];
  let cursor = null;
  for (let page = 0; page < pages; page += 1) {
    const answer = await next(withQuery(path, {}) + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""));
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (!cursor) return { items, more: false };
  }
  return { items, more: true };
}
