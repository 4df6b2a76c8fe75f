const flames = data.flames, TALL = 17;
let chosen = 0, root = null;

// A profile as one branch: [name, microseconds, calls], which is how its parts are told.
const whole = () => [-1, flames.profiles[chosen].known_us, flames.profiles[chosen].calls];
const nameOf = ([name]) => name < 0 ? "all stacks" : flames.names[name];
const depthOf = ([, , calls]) => 1 + Math.max(0, ...calls.map(depthOf));

function drawFlame() {
  const profile = flames.profiles[chosen], top = root ?? whole(), all = profile.known_us;
  const wanted = byId("search").value.toLowerCase();
  const image = picture(depthOf(top) * TALL + 2, "flame graph");
  const found = (branch) => wanted !== "" && nameOf(branch).toLowerCase().includes(wanted);
  let matched = 0;
  const place = (branch, x, depth, counted) => {
    const width = branch[1] / top[1] * WIDTH, name = nameOf(branch), hit = found(branch);
    if (hit && !counted) matched += branch[1];
    let at = x;
    for (const call of branch[2]) {
      place(call, at, depth + 1, counted || hit);
      at += call[1] / top[1] * WIDTH;
    }
    if (width < 0.5) return;
    const kernel = name.endsWith("_[k]");
    const box = svg("rect", { x, y: depth * TALL, width, height: TALL - 1, rx: 1, "fill-opacity": kernel ? 0.55 : 1,
      class: `frame s${profile.state}${wanted !== "" && !hit ? " dim" : ""}` },
      tip(`${name}\n${time(branch[1])}, ${percent(branch[1] / all)} of the time whose stack is known`));
    box.addEventListener("click", () => { root = branch; drawFlame(); });
    image.append(box);
    const letters = Math.floor(width / 6) - 1;
    if (letters >= 3) {
      image.append(svg("text", { x: x + 3, y: depth * TALL + 12, class: "inside" },
        name.length > letters ? `${name.slice(0, letters - 1)}…` : name));
    }
  };
  place(top, 0, 0, false);
  byId("flame").replaceChildren(image);
  byId("found").textContent = wanted === "" ? `${time(all)} of ${time(profile.time_us)} have a stack`
    : `${percent(matched / top[1])} of this has “${byId("search").value}”`;
}

byId("flames").hidden = flames.profiles.length === 0;
if (flames.profiles.length > 0) {
  byId("profile").append(...flames.profiles.map((profile, place) =>
    el("option", { value: place }, `${data.states[profile.state].words}, ${profile.route ?? "all requests"} (${time(profile.time_us)})`)));
  byId("profile").addEventListener("change", (event) => { chosen = Number(event.target.value); root = null; drawFlame(); });
  byId("search").addEventListener("input", drawFlame);
  byId("whole").addEventListener("click", () => { root = null; drawFlame(); });
  drawFlame();
}
