const times = data.times, columns = times.columns;
const runUs = Math.max(told.window_s * 1e6, columns.length * times.width_us);
const xOf = (us) => LEFT + us / runUs * plotWidth;
const columnAt = (place) => [xOf(place * times.width_us), Math.max(times.width_us / runUs * plotWidth, 0.5)];

function timeAxis(image, y) {
  for (const at of steps(runUs)) image.append(svg("text", { x: xOf(at), y, class: "mid" }, time(at)));
}

function drawLegend() {
  const used = data.states.map((_, state) => columns.some((column) => column.all.times[state] > 0));
  byId("legend").append(...data.states.flatMap((state, place) =>
    used[place] ? [el("span", {}, el("i", { class: `s${place}` }), state.words)] : []));
}

function drawStacked() {
  const height = 200, image = picture(height + 20, "requests in flight by state over the run");
  const most = Math.max(...columns.map((column) => sum(column.all.times) / times.width_us)) || 1;
  const yOf = (value) => height - value / most * (height - 10);
  for (const at of steps(most)) {
    image.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: yOf(at), y2: yOf(at), class: "grid" }),
      svg("text", { x: LEFT - 6, y: yOf(at) + 4, class: "end" }, digits(at)));
  }
  const floor = columns.map(() => 0);
  data.states.forEach((_, state) => {
    let path = "";
    columns.forEach((column, place) => {
      const value = column.all.times[state] / times.width_us;
      if (value === 0) return;
      const [x, width] = columnAt(place), top = floor[place] + value;
      path += `M${x.toFixed(2)} ${yOf(floor[place]).toFixed(2)}V${yOf(top).toFixed(2)}h${width.toFixed(2)}V${yOf(floor[place]).toFixed(2)}z`;
      floor[place] = top;
    });
    if (path) image.append(svg("path", { d: path, class: `s${state}` }));
  });
  columns.forEach((column, place) => {
    const [x, width] = columnAt(place), all = sum(column.all.times);
    const ranked = column.all.times.map((value, state) => [value, state]).sort((a, b) => b[0] - a[0]).filter(([value]) => value > 0);
    const lines = ranked.slice(0, 5).map(([value, state]) => `${data.states[state].words}: ${percent(value / all)}`);
    image.append(svg("rect", { x, y: 0, width, height, class: "hair" },
      tip([`at ${time(place * times.width_us)}: ${count(column.all.count)} requests`, ...lines].join("\n"))));
  });
  timeAxis(image, height + 14);
  byId("stacked").append(image);
}

// Rows of latency that hold something.
function usedRows() {
  const used = times.rows.map((row) => row.count > 0);
  return [used.indexOf(true), used.lastIndexOf(true)];
}

function drawHeat() {
  const [first, last] = usedRows(), rows = last - first + 1, tall = Math.min(14, Math.max(4, 220 / rows));
  const top = 10, height = top + rows * tall, image = picture(height + 20, "latency of requests over the run");
  const most = Math.max(...columns.map((column) => Math.max(0, ...column.rows)));
  columns.forEach((column, place) => {
    const [x, width] = columnAt(place);
    column.rows.forEach((requests, row) => {
      if (requests === 0) return;
      const density = 0.12 + 0.88 * Math.log1p(requests) / Math.log1p(most);
      image.append(svg("rect", { x, y: top + (last - row) * tall, width, height: tall, class: "heat", "fill-opacity": density.toFixed(2) },
        tip(`at ${time(place * times.width_us)}: ${count(requests)} requests of ${time(times.begins_us[row])} to ${time(times.begins_us[row + 1])}`)));
    });
  });
  const every = Math.ceil(rows / 9);
  for (let row = first; row <= last; row += every) {
    image.append(svg("text", { x: LEFT - 6, y: top + (last - row + 1) * tall, class: "end" }, time(times.begins_us[row])));
  }
  timeAxis(image, height + 14);
  byId("heat").append(image);
}

function drawHistogram() {
  const [first, last] = usedRows(), rows = last - first + 1, width = plotWidth / rows;
  const image = picture(262, "requests by latency, and their time by state");
  const most = Math.max(...times.rows.map((row) => row.count));
  for (const at of steps(most)) {
    const y = 150 - at / most * 140;
    image.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y, class: "grid" }),
      svg("text", { x: LEFT - 6, y: y + 4, class: "end" }, count(Math.round(at))));
  }
  const every = Math.ceil(rows / 12);
  for (let row = first; row <= last; row++) {
    const { count: requests, times: spent } = times.rows[row], x = LEFT + (row - first) * width, all = sum(spent);
    const range = `${time(times.begins_us[row])} to ${time(times.begins_us[row + 1])}`;
    const tall = requests / most * 140;
    image.append(svg("rect", { x, y: 150 - tall, width: width * 0.94, height: tall, class: "bar" }, tip(`${range}: ${count(requests)} requests`)));
    let y = 240;
    spent.forEach((value, state) => {
      if (value <= 0) return;
      const part = value / all * 80;
      y -= part;
      image.append(svg("rect", { x, y, width: width * 0.94, height: part, class: `s${state}` },
        tip(`${range}: ${data.states[state].words} ${percent(value / all)}`)));
    });
    if ((row - first) % every === 0) image.append(svg("text", { x, y: 256 }, time(times.begins_us[row])));
  }
  image.append(svg("text", { x: LEFT - 6, y: 204, class: "end" }, "time"));
  byId("histogram").append(image);
}

function latencyColumns(of) {
  return [["mean", "mean"], ["p50", "p50"], ["p90", "p90"], ["p99", "p99"], ["p99.9", "p999"], ["max", "max"]]
    .map(([name, key]) => [name, (row) => time(of(row)[key])]);
}

function drawBreakdown() {
  const { mean, p99 } = told.breakdown_us, all = byState(mean), slow = byState(p99);
  const rows = data.states.map((_, state) => state).filter((state) => all[state] > 0 || slow[state] > 0)
    .sort((a, b) => all[b] - all[a]);
  byId("states").append(table(rows, [
    ["", (state) => el("span", {}, el("i", { class: `s${state}` }), data.states[state].words), true],
    ["all requests (mean)", (state) => time(all[state])], ["", (state) => percent(all[state] / sum(all))],
    ["the slowest 1 %", (state) => time(slow[state])], ["", (state) => percent(slow[state] / sum(slow))],
  ]));
}

function drawWaterfall(slow, longest) {
  const image = picture(18, "states of the request one after the other");
  for (const [from, to, state, tid] of slow.path) {
    const thread = tid ? `, thread ${tid} ${names.get(tid) ?? ""}` : "";
    image.append(svg("rect", { x: from / longest * WIDTH, y: 1, width: Math.max((to - from) / longest * WIDTH, 0.6), height: 16, class: `s${state}` },
      tip(`${data.states[state].words}: ${time(to - from)}, from ${time(from)} on${thread}`)));
  }
  const spent = data.states.map(() => 0);
  for (const [from, to, state] of slow.path) spent[state] += to - from;
  const ranked = spent.map((value, state) => [value, state]).filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]);
  const words = ranked.slice(0, 4).map(([value, state]) => `${data.states[state].words} ${time(value)}`).join(", ");
  const notes = [`${time(slow.at_us)} after the beginning`, `process ${slow.pid}`, `threads ${slow.threads.join(", ")}`,
    `${count(slow.received)} bytes in, ${count(slow.sent)} out`];
  if (!slow.arrival_known) notes.push("when it arrived is not known");
  if (slow.touched_by_loss) notes.push("records were lost that may have been about it");
  return el("div", { class: "fall" }, el("b", {}, slow.route ?? "a request"), ` ${time(slow.latency_us)}: ${words}`, image,
    el("div", { class: "faint" }, notes.join(" · ")));
}

const names = new Map(told.threads.map((thread) => [thread.tid, thread.name]));

function drawWaterfalls() {
  const longest = Math.max(...data.slowest.map((slow) => slow.latency_us));
  const falls = data.slowest.map((slow) => drawWaterfall(slow, longest));
  byId("waterfalls").append(...falls.slice(0, 12));
  if (falls.length > 12) byId("waterfalls").append(el("details", {}, el("summary", {}, `${falls.length - 12} more`), ...falls.slice(12)));
}

function drawLocks() {
  const { user, kernel } = told.locks;
  byId("locks").hidden = user.length + kernel.length === 0;
  const holders = (lock) => lock.holders.slice(0, 3).map((holder) =>
    `${holder.tid} ${holder.name}${holder.routes.length ? ` for ${holder.routes[0]}` : ""}`).join("; ");
  if (user.length) byId("user-locks").append(table(user, [
    ["lock", (lock) => lock.name, true], ["for", (lock) => lock.kind, true], ["of the lock time", (lock) => percent(lock.share)],
    ["waits", (lock) => count(lock.waits)], ["mean", (lock) => time(lock.mean_us)], ["longest", (lock) => time(lock.worst_us)],
    ["threads", (lock) => lock.waiters], ["at once", (lock) => lock.at_once], ["held by", holders, true],
  ]));
  if (kernel.length) byId("kernel-locks").append(table(kernel, [
    ["lock of the kernel", (lock) => lock.name, true], ["share", (lock) => percent(lock.share)], ["waits", (lock) => count(lock.waits)],
    ["in all", (lock) => time(lock.total_us)], ["longest", (lock) => time(lock.worst_us)],
  ]));
}

function drawThreads() {
  const wide = (thread) => Math.max(1, (thread.on_cpu_us + thread.run_queue_us));
  const most = Math.max(...told.threads.map(wide));
  const place = (id) => data.states.findIndex((state) => state.id === id);
  const bar = (thread) => svg("svg", { viewBox: "0 0 220 12", class: "share", role: "img", "aria-label": "on a CPU and waiting for one" },
    svg("rect", { x: 0, y: 1, width: thread.on_cpu_us / most * 220, height: 10, class: `s${place("on_cpu")}` }),
    svg("rect", { x: thread.on_cpu_us / most * 220, y: 1, width: thread.run_queue_us / most * 220, height: 10, class: `s${place("run_queue")}` }));
  byId("by-thread").append(table(told.threads.slice(0, 64), [
    ["thread", (thread) => thread.tid], ["process", (thread) => thread.pid], ["name", (thread) => thread.name, true],
    ["on a CPU", (thread) => time(thread.on_cpu_us)], ["waiting for one", (thread) => time(thread.run_queue_us)], ["", bar],
    ["gave it up", (thread) => count(thread.voluntary)], ["lost it", (thread) => count(thread.involuntary)], ["moved", (thread) => count(thread.migrations)],
  ]));
  if (told.threads.length > 64) byId("by-thread").append(el("p", { class: "faint" }, `${told.threads.length - 64} more threads ran less.`));
}

function drawAbout() {
  const at = told.concurrency, on = told.parallelism;
  byId("about").append(`Watched for ${time(told.window_s * 1e6)}: ${count(told.requests.count)} requests, ${digits(told.requests.per_second)} a second; ` +
    `${digits(at.mean)} in flight in the mean, ${at.max} at most; ${digits(on.mean)} threads on a CPU in the mean, ${on.max} at most. ` +
    `Concurrency model: ${told.model.id} (${percent(told.model.confidence)} sure), ${told.model.threads} threads, ${told.model.processes} processes. ` +
    `whywait took ${digits(told.overhead.cpu_percent)} % of one CPU.`);
}

drawAbout();
if (data.slowest.length > 0) {
  drawLegend();
  drawStacked();
  drawHeat();
  drawHistogram();
  byId("quantiles").append(table([told.requests.latency_us], latencyColumns((row) => row)));
  drawBreakdown();
  byId("routes").hidden = told.routes.length === 0;
  byId("by-route").append(table(told.routes.slice(0, 64), [
    ["route", (route) => route.name, true], ["requests", (route) => count(route.count)], ...latencyColumns((route) => route.latency_us),
    ["time by state", (route) => strip(byState(route.mean))],
  ]));
  drawWaterfalls();
} else {
  for (const id of ["times", "distribution", "breakdown", "routes", "slowest"]) byId(id).hidden = true;
}
drawLocks();
drawThreads();
