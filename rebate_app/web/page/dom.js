// Elements, made of tag, attributes and children. Text stays text: nothing here reads markup, so an id or a
// reason that looks like a script is shown as it is. `patch` changes what is on the screen into what it should
// be, element by element, so that a refresh keeps focus, scroll position, typed text and open details.

const SVG = "http://www.w3.org/2000/svg";

// Attributes that belong to the person once an element is there.
const THEIRS = new Set(["open", "value", "checked", "selected"]);

function dispatch(event) {
  event.currentTarget.handlers?.[event.type]?.(event);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") listen(element, value);
    else if (name === "key") element.key = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

function listen(element, handlers) {
  for (const type of Object.keys(handlers)) {
    if (!element.handlers?.[type]) element.addEventListener(type, dispatch);
  }
  element.handlers = handlers;
}

// Return an HTML element. `on` holds handlers by type, `key` tells siblings of a list apart.
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

// Return an SVG element.
export function s(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

// Put `children` in place of what `parent` holds, keeping every element that is in both.
export function show(parent, ...children) {
  patchChildren(parent, flat(children).map((child) => (typeof child === "string" ? new Text(child) : child)));
}

function patch(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.key !== fresh.key) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !THEIRS.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !THEIRS.has(name)) old.setAttribute(name, value);
  }
  if (fresh.handlers) listen(old, fresh.handlers);
  if (fresh.draw) {
    old.draw = fresh.draw;
    old.draw();
  } else {
    patchChildren(old, [...fresh.childNodes]);
  }
}

function patchChildren(parent, wanted) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.key !== undefined) keyed.set(node.key, node);
  let at = parent.firstChild;
  for (const want of wanted) {
    const have = want.key === undefined ? at : keyed.get(want.key);
    if (!have || have.key !== want.key) {
      parent.insertBefore(want, at);
    } else {
      if (have !== at) parent.insertBefore(have, at);
      at = have.nextSibling;
      patch(have, want);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
