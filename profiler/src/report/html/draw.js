"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const told = data.explanation;
const byId = (id) => document.getElementById(id);

// Elements are made, never parsed: what a name holds stays text.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const WIDTH = 1000, LEFT = 62, RIGHT = 8;
const picture = (height, label) => svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label });
const plotWidth = WIDTH - LEFT - RIGHT;

function digits(value) {
  if (value === 0) return "0";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
function time(us) {
  if (us === 0) return "0 µs";
  if (us < 1) return `${digits(us * 1e3)} ns`;
  if (us < 1e3) return `${digits(us)} µs`;
  return us < 1e6 ? `${digits(us / 1e3)} ms` : `${digits(us / 1e6)} s`;
}
const percent = (share) => {
  const value = share * 100;
  return value === 0 ? "0 %" : value < 0.05 ? "<0.1 %" : `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} %`;
};
const count = (value) => value.toLocaleString("en-US");
const sum = (list) => list.reduce((total, value) => total + value, 0);
const tip = (text) => svg("title", {}, text);

// Round steps of an axis up to `most`, about five of them.
function steps(most) {
  const raw = most / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= raw);
  const list = [];
  for (let at = 0; at <= most * 1.0001; at += step) list.push(at);
  return list;
}

// A table: columns are [heading, function of a row to text or an element, is it text].
function table(rows, columns) {
  const cell = (tag, [, , left], content) => el(tag, left ? { class: "left" } : {}, content);
  return el("table", {},
    el("thead", {}, el("tr", {}, ...columns.map((column) => cell("th", column, column[0])))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map((column) => cell("td", column, column[1](row)))))));
}

// Times by state as one bar, as long as all of it together.
function strip(times) {
  const all = sum(times), bar = svg("svg", { viewBox: "0 0 220 12", class: "share", role: "img", "aria-label": "time by state" });
  let x = 0;
  times.forEach((value, state) => {
    if (value <= 0) return;
    const width = value / all * 220;
    bar.append(svg("rect", { x, y: 1, width, height: 10, class: `s${state}` }, tip(`${data.states[state].words}: ${percent(value / all)}`)));
    x += width;
  });
  return bar;
}
const byState = (breakdown) => data.states.map((state) => breakdown[state.id]);
