// All works without it. It brings the page up to date by itself, and filters while one types.
"use strict";
(() => {
  const EVERY = 10000, PATIENCE = 250;
  const live = document.getElementById("live"), lost = document.getElementById("lost");
  const main = document.getElementById("main");
  let last = 0, typing = 0;

  // What is moved the new way keeps the focus.
  const move = Element.prototype.moveBefore ?? Element.prototype.insertBefore;
  const key = (node) => node.dataset?.key;

  // Changes only what differs, so that focus, selection and place stay.
  const become = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== 1 || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
      return;
    }
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const kept = new Map([...old.children].filter(key).map((child) => [key(child), child]));
    const after = [...fresh.childNodes];
    after.forEach((node, at) => {
      const there = old.childNodes[at] ?? null, same = kept.get(key(node));
      if (same) {
        if (same !== there) move.call(old, same, there);
        become(same, node);
      } else if (!there || key(there)) old.insertBefore(node, there);
      else become(there, node);
    });
    while (old.childNodes.length > after.length) old.lastChild.remove();
  };

  const load = async (address) => {
    const mine = ++last;
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(EVERY) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== last) return;
      const fresh = page.getElementById("main");
      if (!fresh) throw new Error(`HTTP ${answer.status}`);
      become(main, fresh);
      document.title = page.title;
      become(document.querySelector("link[rel=icon]"), page.querySelector("link[rel=icon]"));
      lost.hidden = true;
    } catch (error) {
      if (mine !== last || !lost.hidden) return;
      lost.textContent = `No answer from the exporter since ${new Date().toLocaleTimeString()}: what is below is old.`;
      lost.hidden = false;
    }
  };

  const show = (address) => {
    history.replaceState(null, "", address);
    return load(address);
  };

  const asked = (form) => {
    const wishes = [...new FormData(form)].filter(([, value]) => value);
    return `${location.pathname}?${new URLSearchParams(wishes)}`;
  };

  document.addEventListener("input", ({ target }) => {
    if (target.form?.getAttribute("role") !== "search") return;
    clearTimeout(typing);
    typing = setTimeout(() => show(asked(target.form)), PATIENCE);
  });
  document.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    show(asked(event.target));
  });

  live.hidden = false;
  live.addEventListener("click", () => {
    live.setAttribute("aria-pressed", live.getAttribute("aria-pressed") !== "true");
  });
  setInterval(() => {
    const wished = live.getAttribute("aria-pressed") === "true" && !document.hidden;
    if (wished && getSelection().isCollapsed) load(location.href);
  }, EVERY);
})();
