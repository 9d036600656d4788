// One slide at a time: arrows, space, page keys, a swipe, the buttons. Without this script all stand below each other.
(() => {
  const slides = [...document.querySelectorAll(".slide")], nav = document.querySelector(".steps");
  const [before, next, all] = nav.querySelectorAll("button"), said = nav.querySelector("output");
  let at = 0;
  function show(k) {
    at = Math.max(0, Math.min(k, slides.length - 1));
    slides.forEach((slide, i) => slide.classList.toggle("shown", i === at));
    said.textContent = (at + 1) + " / " + slides.length;
    history.replaceState(null, "", "#" + (at + 1));
    scrollTo(0, 0);
  }
  function overview(whole) {
    document.body.classList.toggle("one", !whole);
    all.setAttribute("aria-pressed", whole);
    if (whole) slides[at].scrollIntoView(); else show(at);
  }
  const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Home: -1e9, End: 1e9 };
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|BUTTON)$/.test(event.target.tagName) && /^( |Enter|Arrow)/.test(event.key)) return;
    if (event.key === "Escape") overview(document.body.classList.contains("one"));
    if (!document.body.classList.contains("one") || !(event.key in keys)) return;
    event.preventDefault();
    show(at + (event.key === " " && event.shiftKey ? -1 : keys[event.key]));
  });
  let x = 0, y = 0;
  addEventListener("touchstart", event => { [x, y] = [event.touches[0].clientX, event.touches[0].clientY]; }, { passive: true });
  addEventListener("touchend", event => {
    const dx = event.changedTouches[0].clientX - x, dy = event.changedTouches[0].clientY - y;
    if (event.target.tagName !== "INPUT" && Math.abs(dx) > 50 && Math.abs(dx) > 2 * Math.abs(dy)) show(at + (dx < 0 ? 1 : -1));
  });
  addEventListener("hashchange", () => show(Number(location.hash.slice(1)) - 1 || 0));
  before.addEventListener("click", () => show(at - 1));
  next.addEventListener("click", () => show(at + 1));
  all.addEventListener("click", () => overview(document.body.classList.contains("one")));
  nav.hidden = false;
  document.body.classList.add("one");
  show(Number(location.hash.slice(1)) - 1 || 0);
})();
