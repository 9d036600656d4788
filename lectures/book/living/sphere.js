const dots = figure.querySelectorAll("circle.normal, circle.odd");
const [ring, small] = figure.querySelectorAll("circle.ring");
function draw(k) {
  const frame = data.frames[k];
  frame.points.forEach(([x, y], i) => { dots[i].setAttribute("cx", x); dots[i].setAttribute("cy", y); });
  ring.setAttribute("r", frame.r);
  small.setAttribute("r", frame.small);
  return "epoch " + data.every * k + ": R = " + frame.radius.toFixed(3) + ", AUC " + frame.auc.toFixed(1) + " %";
}
