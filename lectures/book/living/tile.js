const loads = figure.querySelectorAll("g.load"), [, window3, own] = figure.querySelectorAll("rect.frame");
function draw(step) {
  loads.forEach((cell, k) => cell.classList.toggle("later", k >= 16 * step));
  const thread = Math.max(0, step - 4), i = Math.floor(thread / 4), j = thread % 4;
  [[window3, 32, 32], [own, data.beside, 62]].forEach(([rect, x, y]) => {
    rect.setAttribute("visibility", step < 4 ? "hidden" : "visible");
    rect.setAttribute("x", x + j * data.cell);
    rect.setAttribute("y", y + i * data.cell);
  });
  if (step === 0) return "step 0: nothing is loaded; sixteen threads want the tile";
  if (step < 3) return "step " + step + ": thread t loads pixel t" + (step > 1 ? " + 16" : "") + ", all threads at once";
  if (step === 3) return "step 3: thread t loads pixel t + 32, twelve threads have none left; then all wait";
  return "all threads add up at once; thread " + thread + " reads these nine pixels from shared memory";
}
