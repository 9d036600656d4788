// Search without a server: every word of the query must occur in a section; headings count most.
(() => {
  const root = document.currentScript.dataset.root;
  const form = document.querySelector(".search"), box = form.querySelector("input"), found = form.querySelector("ol");
  form.hidden = false;

  const load = () => window.bookIndex ? Promise.resolve() : new Promise(done => {
    const script = document.createElement("script");
    script.src = root + "static/search-index.js";
    script.onload = done;
    document.head.append(script);
  });

  function rank(entry, words) {
    const title = entry[0].toLowerCase(), text = entry[3].toLowerCase();
    let sum = 0;
    for (const word of words) {
      if (title === word) sum += 100;
      else if (title.split(/[^\p{L}\p{N}]+/u).includes(word)) sum += 30;
      else if (title.includes(word)) sum += 15;
      const times = text.split(word).length - 1;
      if (!times && !title.includes(word)) return 0;
      sum += Math.min(times, 5);
    }
    return sum;
  }

  // The text around the first word found, with every word marked.
  function excerpt(text, words) {
    const places = words.map(word => text.toLowerCase().indexOf(word)).filter(place => place >= 0);
    const start = Math.max(0, Math.min(...places, text.length) - 50);
    const piece = (start ? "…" : "") + text.slice(start, start + 170) + (start + 170 < text.length ? "…" : "");
    const line = document.createElement("small");
    const pattern = new RegExp("(" + words.map(w => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|") + ")", "gi");
    piece.split(pattern).forEach((part, i) => {
      if (i % 2) line.append(Object.assign(document.createElement("mark"), { textContent: part }));
      else line.append(part);
    });
    return line;
  }

  async function search() {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    found.replaceChildren();
    found.hidden = !words.length;
    if (!words.length) return;
    await load();
    const ranked = window.bookIndex.map(entry => [rank(entry, words), entry]).filter(pair => pair[0]);
    ranked.sort((a, b) => b[0] - a[0]);
    found.replaceChildren(...ranked.slice(0, 12).map(([, [title, page, address, text]]) => {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = root + address;
      link.append(Object.assign(document.createElement("b"), { textContent: title }));
      if (page !== title) link.append(Object.assign(document.createElement("i"), { textContent: page }));
      link.append(excerpt(text, words));
      item.append(link);
      return item;
    }));
    if (!ranked.length) found.append(Object.assign(document.createElement("li"), { textContent: "Nothing found." }));
  }

  let turn = Promise.resolve();  // one search after the other, in the order of typing
  box.addEventListener("input", () => { turn = turn.then(search); });
  box.addEventListener("focus", load, { once: true });
  form.addEventListener("submit", event => {
    event.preventDefault();
    turn.then(() => found.querySelector("a")?.click());
  });
  form.addEventListener("keydown", event => {
    const links = [...found.querySelectorAll("a")], at = links.indexOf(document.activeElement);
    if (event.key === "Escape") { box.value = ""; found.hidden = true; box.focus(); }
    if (event.key === "ArrowDown" && links.length) { event.preventDefault(); links[Math.min(at + 1, links.length - 1)].focus(); }
    if (event.key === "ArrowUp") { event.preventDefault(); (at > 0 ? links[at - 1] : box).focus(); }
  });
  document.addEventListener("keydown", event => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); box.focus(); }
  });
  document.addEventListener("click", event => { if (!form.contains(event.target)) found.hidden = true; });
})();
