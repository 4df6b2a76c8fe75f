const boxes = [...document.querySelectorAll("g.box")];
const said = document.getElementById("said");
const first = said.textContent;
function zoom(to) {
  const [left, wide] = [Number(to.dataset.x), Number(to.dataset.w)];
  for (const box of boxes) {
    const from = Math.max(0, (Number(box.dataset.x) - left) / wide);
    const until = Math.min(1, (Number(box.dataset.x) + Number(box.dataset.w) - left) / wide);
    const width = (until - from) * 1180;
    box.style.display = width > 0.2 ? "" : "none";
    const [rect, text] = [box.querySelector("rect"), box.querySelector("text")];
    rect.setAttribute("x", 10 + from * 1180);
    rect.setAttribute("width", Math.max(0, width));
    text.setAttribute("x", 13 + from * 1180);
    const room = Math.floor((width - 6) / 6.6);
    const name = box.dataset.n;
    text.textContent = name.length <= room ? name : room < 3 ? "" : name.slice(0, room - 1) + "…";
  }
}
for (const box of boxes) {
  box.addEventListener("click", () => zoom(box));
  box.addEventListener("mouseover", () => (said.textContent = box.querySelector("title").textContent));
  box.addEventListener("mouseout", () => (said.textContent = first));
}
