const line = figure.querySelector("path.line"), curve = figure.querySelector("polyline");
const inside = figure.querySelector("clipPath rect"), n = data.d.length;
function draw(percent) {
  const price = percent * n / 100, k = Math.min(Math.floor(price + 1e-9), n - 1);
  const best = data.d[n - 1 - k], outside = data.d.filter(d => d > best).length, x = data.width * best / data.most;
  const J = u => u + data.d.reduce((sum, d) => sum + Math.max(0, d - u), 0) / price;
  const grid = Array.from({ length: 85 }, (_, i) => data.most * i / 84), values = grid.map(J);
  const low = Math.min(...values), high = Math.max(...values);
  curve.setAttribute("points", grid.map((u, i) =>
    data.width * u / data.most + "," + (data.curve - 88 * (values[i] - low) / (high - low))).join(" "));
  line.setAttribute("d", "M" + x + " 4V" + data.floor);
  inside.setAttribute("width", Math.max(0, x));
  return "ν = " + (percent / 100).toFixed(2) + ", νn = " + price.toFixed(2) + ": " + outside + " of " + n
    + " samples outside, " + (100 * outside / n).toFixed(1) + " %";
}
