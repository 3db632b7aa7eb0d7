// All works without it. It brings the page up to date by itself, and filters while one types.
"use strict";
(() => {
  const EVERY = 10000, LIMIT = 8000, PATIENCE = 250;
  const live = document.getElementById("live"), lost = document.getElementById("lost");
  const main = document.getElementById("main"), news = document.getElementById("news");
  let typing = 0, paused = false, loading = null;

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
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
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
    // The page has one request under way at most, and no answer undoes a later one.
    loading?.abort();
    const mine = loading = new AbortController(), limit = setTimeout(() => mine.abort(), LIMIT);
    let what = "No answer from the exporter", title = "no answer";
    const url = new URL(address, location.href);
    // With a name and password in it nothing is fetched; the browser sends them all the same.
    url.username = url.password = "";
    try {
      const answer = await fetch(url, { headers: { Accept: "text/html" }, signal: mine.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh) {
        title = `HTTP ${answer.status}`;
        throw new Error(what = `${title} instead of the page`);
      }
      become(main, fresh);
      // Who hears the page is told when it is another.
      if (document.title !== page.title) news.textContent = document.title = page.title;
      become(document.querySelector("link[rel=icon]"), page.querySelector("link[rel=icon]"));
      lost.hidden = true;
    } catch {
      // Given up for a later one, or told already.
      if (loading !== mine || (!lost.hidden && lost.textContent.startsWith(what))) return;
      const since = new Date().toISOString().slice(11, 19), made = main.querySelector(".made time").textContent;
      lost.textContent = `${what} since ${since} UTC: what is below is as of ${made}.`;
      lost.hidden = false;
      main.classList.add("old");
      document.title = `${title} · SIP trunks`;
      document.querySelector("link[rel=icon]").href = lost.dataset.icon;
    } finally {
      clearTimeout(limit);
      if (loading === mine) loading = null;
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

  // Nobody copies from a page in the background.
  const waits = () => !document.hidden && !getSelection().isCollapsed;
  const say = () => {
    const words = paused ? "Paused: refresh by itself" : waits() ? "Waits while text is selected" : "Refreshing by itself";
    if (live.textContent !== words) live.textContent = words;
    live.className = paused ? "paused" : "";
  };
  const refresh = () => {
    say();
    // One under way is let end, in an answer or at its limit: begun anew each time, none would ever be missed.
    if (!paused && !waits() && !loading) load(location.href);
  };

  live.hidden = false;
  live.addEventListener("click", () => {
    paused = !paused;
    refresh();
  });
  document.addEventListener("selectionchange", say);
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, EVERY);
})();
