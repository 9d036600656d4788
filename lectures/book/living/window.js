const [frame, one] = figure.querySelectorAll("rect.frame"), outputs = figure.querySelectorAll("g.out");
function draw(k) {
  const i = Math.floor(k / 6), j = k % 6, terms = [];
  let sum = 0;
  data.filter.forEach((row, a) => row.forEach((w, b) => {
    const x = data.image[i + a][j + b];
    sum += w * x;
    if (w) terms.push((w < 0 ? "− " : "+ ") + Math.abs(w) + "·" + x);
  }));
  frame.setAttribute("x", 2 + j * data.cell);
  frame.setAttribute("y", 2 + i * data.cell);
  one.setAttribute("x", data.out + j * data.cell);
  one.setAttribute("y", data.cell + i * data.cell);
  outputs.forEach((cell, at) => cell.classList.toggle("later", at > k));
  return "y(" + i + ", " + j + ") = " + terms.join(" ") + " = " + (sum < 0 ? "−" : "") + Math.abs(sum);
}
