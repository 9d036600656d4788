// The slider of a figure, and a button that walks it from one end to the other.
const slider = figure.querySelector("input"), said = figure.querySelector("output"), play = figure.querySelector("button");
let clock = 0;
function show() {
  said.textContent = draw(Number(slider.value));
  slider.setAttribute("aria-valuetext", said.textContent);
}
function stop() {
  clearInterval(clock);
  clock = 0;
  play.textContent = "Play";
}
slider.addEventListener("input", () => { stop(); show(); });
play.addEventListener("click", () => {
  if (clock) return stop();
  if (slider.value === slider.max) slider.value = slider.min;
  play.textContent = "Stop";
  clock = setInterval(() => {
    slider.stepUp();
    show();
    if (slider.value === slider.max) stop();
  }, 400);
});
play.hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
figure.querySelector(".controls").hidden = false;
show();
