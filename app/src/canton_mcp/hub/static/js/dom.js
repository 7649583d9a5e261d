// Views as plain values, and the smallest change to the document that shows them. Text becomes text nodes: nothing
// that came over the wire is ever parsed as markup.

/**
 * @typedef {{tag: string, key: string | undefined, props: Record<string, any>, children: View[]}} Element_
 * @typedef {Element_ | string} View
 * @typedef {View | number | null | undefined | false | any[]} Content  lists hold contents again
 */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "polyline", "rect", "line", "circle"]);
const PROPERTIES = new Set(["checked", "value", "disabled", "hidden", "className"]);

/** @type {WeakMap<Node, Element_>} what an element shows now */
const shown = new WeakMap();
/** @type {WeakMap<Node, Record<string, (event: any) => void>>} an element's handlers, by event */
const handlers = new WeakMap();

/**
 * An element. `key` keeps an item's node when its place changes; `on` holds handlers by event, `style` CSS
 * properties; a few names are properties of the node, all others attributes (true is empty, null and false are absent).
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...Content} children
 * @returns {Element_}
 */
export function h(tag, props, ...children) {
  const { key, ...rest } = props ?? {};
  return { tag, key, props: rest, children: flat(children) };
}

/**
 * Make the children of `parent` show these views, in this order.
 * @param {Node} parent
 * @param {...Content} contents
 */
export function patch(parent, ...contents) {
  place(parent, flat(contents));
}

/** @param {Content[]} contents @returns {View[]} */
function flat(contents) {
  /** @type {View[]} */
  const views = [];
  for (const content of contents) {
    if (Array.isArray(content)) views.push(...flat(content));
    else if (typeof content === "number") views.push(String(content));
    else if (content || content === "") views.push(/** @type {View} */ (content));
  }
  return views;
}

/** @param {Node} parent @param {View[]} views */
function place(parent, views) {
  const keyed = new Map();
  /** @type {ChildNode[]} */
  const plain = [];
  for (const node of parent.childNodes) {
    const key = shown.get(node)?.key;
    if (key === undefined) plain.push(node);
    else keyed.set(key, node);
  }
  const nodes = views.map((view) => {
    let node;
    if (typeof view !== "string" && view.key !== undefined) {
      node = keyed.get(view.key);
      if (node && fits(node, view)) keyed.delete(view.key);
      else node = undefined;
    } else if (plain.length && fits(plain[0], view)) {
      node = plain.shift();
    } else {
      const at = plain.findIndex((other) => fits(other, view));
      if (at >= 0) node = plain.splice(at, 1)[0];
    }
    node ??= create(view);
    update(node, view);
    return node;
  });
  const kept = new Set(nodes);
  for (const node of [...parent.childNodes]) if (!kept.has(node)) parent.removeChild(node);
  /** @type {ChildNode | null} */
  let next = parent.firstChild;
  for (const node of nodes) {
    if (next && node === next) next = next.nextSibling;
    else move(parent, node, next);
  }
}

/** Insert or move a node, and leave the focus where it is. @param {any} parent @param {any} node @param {Node | null} next */
function move(parent, node, next) {
  if (node.parentNode === parent && parent.isConnected && parent.moveBefore) {
    parent.moveBefore(node, next);
    return;
  }
  const focused = node.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
  parent.insertBefore(node, next);
  if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

/** @param {Node} node @param {View} view */
function fits(node, view) {
  if (typeof view === "string") return node.nodeType === Node.TEXT_NODE;
  return shown.get(node)?.tag === view.tag;
}

/** @param {View} view @returns {any} */
function create(view) {
  if (typeof view === "string") return document.createTextNode(view);
  return SVG_TAGS.has(view.tag) ? document.createElementNS(SVG, view.tag) : document.createElement(view.tag);
}

/** @param {any} node @param {View} view */
function update(node, view) {
  if (typeof view === "string") {
    if (node.data !== view) node.data = view;
    return;
  }
  const before = shown.get(node)?.props ?? {};
  shown.set(node, view);
  for (const name of Object.keys(before)) if (!(name in view.props)) set(node, name, null, before[name]);
  for (const [name, value] of Object.entries(view.props)) {
    if (PROPERTIES.has(name)) {
      if (node[name] !== value) node[name] = value;
    } else if (before[name] !== value) {
      set(node, name, value, before[name]);
    }
  }
  place(node, view.children);
}

/** @param {any} node @param {string} name @param {any} value @param {any} before */
function set(node, name, value, before) {
  if (name === "on") listen(node, value ?? {});
  else if (name === "style") restyle(node, value ?? {}, before ?? {});
  else if (PROPERTIES.has(name)) node[name] = typeof node[name] === "boolean" ? false : "";
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : String(value));
}

/** @param {any} node @param {Record<string, string>} value @param {Record<string, string>} before */
function restyle(node, value, before) {
  for (const property of Object.keys(before)) if (!(property in value)) node.style.removeProperty(property);
  for (const [property, text] of Object.entries(value)) {
    if (before[property] !== text) node.style.setProperty(property, text);
  }
}

/** @param {Node} node @param {Record<string, (event: any) => void>} wanted */
function listen(node, wanted) {
  const known = handlers.get(node) ?? {};
  for (const name of Object.keys(wanted)) {
    if (!(name in known)) node.addEventListener(name, (event) => handlers.get(node)?.[name]?.(event));
  }
  handlers.set(node, { ...Object.fromEntries(Object.keys(known).map((name) => [name, () => {}])), ...wanted });
}
