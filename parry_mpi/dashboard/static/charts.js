// Small charts of numbers over time, each with its text. This module must not know where the numbers come from.

import { count, moment, share } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const HEIGHT = 100;
const POINTS_MAX = 1200; // more than a chart has pixels; then every second one goes

const CHARTS = [
  { name: "explored", label: "Progress", value: (row) => row.explored, text: (part) => share(part).replace(".0 ", " "), top: 1 },
  { name: "nodes_per_s", label: "Nodes per second", value: (row) => row.nodes_per_s, text: count },
  { name: "busy", label: "Workers busy", value: (row) => row.busy, text: count },
  { name: "unemployed", label: "Unemployed workers", value: (row) => row.workers - row.busy, text: count },
  { name: "pending", label: "Jobs pending", value: (row) => row.pending, text: count },
  { name: "leased", label: "Jobs leased", value: (row) => row.leased, text: count },
];

function svg(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

function html(name, className, parent) {
  const element = document.createElement(name);
  element.className = className;
  parent.append(element);
  return element;
}

class Chart {
  constructor(definition, parent) {
    this.definition = definition;
    const figure = html("figure", `card chart series-${definition.name}`, parent);
    const caption = html("figcaption", "", figure);
    html("span", "name", caption).textContent = definition.label;
    this.now = html("span", "now", caption);
    const plot = html("div", "plot", figure);
    this.high = html("span", "high", plot);
    this.low = html("span", "low", plot);
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, plot);
    this.svg.setAttribute("aria-label", `${definition.label}: not known yet`);
    for (const y of [0, HEIGHT / 2, HEIGHT]) svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }, this.svg);
    this.area = svg("path", { class: "area" }, this.svg);
    this.line = svg("path", { class: "line" }, this.svg);
    this.lives = svg("path", { class: "life" }, this.svg);
    this.cursor = svg("path", { class: "cursor" }, this.svg);
    const ends = html("div", "ends", plot);
    this.first = html("span", "", ends);
    this.last = html("span", "", ends);
    this.at = null;
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      this.at = (event.clientX - box.left) / box.width;
      this.point();
    });
    this.svg.addEventListener("pointerleave", () => {
      this.at = null;
      this.point();
    });
  }

  draw(samples) {
    const { value, text, top, label } = this.definition;
    const rows = samples.filter((row) => value(row) !== null); // a speed is not known from the first moment of a life
    if (!rows.length) return;
    const values = rows.map(value);
    const [begin, end] = [rows[0].time, rows[rows.length - 1].time];
    const largest = values.reduce((a, b) => Math.max(a, b), 0);
    const smallest = values.reduce((a, b) => Math.min(a, b), Infinity);
    this.rows = rows;
    this.span = Math.max(end - begin, 1e-9);
    this.scale = top ?? (largest > 0 ? largest * 1.08 : 1);
    this.x = rows.map((row) => ((row.time - begin) / this.span) * WIDTH);
    const points = values.map((each, i) => `${this.x[i].toFixed(1)},${(HEIGHT - (each / this.scale) * HEIGHT).toFixed(2)}`);
    this.line.setAttribute("d", `M${points.join("L")}`);
    this.area.setAttribute("d", `M0,${HEIGHT}L${points.join("L")}L${this.x[this.x.length - 1].toFixed(1)},${HEIGHT}Z`);
    const lives = rows.map((row, i) => (i && row.life !== rows[i - 1].life ? `M${this.x[i].toFixed(1)},0V${HEIGHT}` : ""));
    this.lives.setAttribute("d", lives.join(""));
    this.high.textContent = text(this.scale);
    this.low.textContent = text(0);
    this.first.textContent = moment(begin);
    this.last.textContent = moment(end);
    const latest = text(values[values.length - 1]);
    this.summary = latest;
    this.svg.setAttribute(
      "aria-label",
      `${label}: ${latest} now, between ${text(smallest)} and ${text(largest)} since ${moment(begin)}`,
    );
    this.point();
  }

  point() {
    if (!this.rows) return;
    if (this.at === null) {
      this.cursor.setAttribute("d", "");
      this.now.textContent = this.summary;
      return;
    }
    const wanted = this.at * WIDTH;
    let nearest = 0;
    this.x.forEach((x, i) => {
      if (Math.abs(x - wanted) < Math.abs(this.x[nearest] - wanted)) nearest = i;
    });
    const row = this.rows[nearest];
    this.cursor.setAttribute("d", `M${this.x[nearest].toFixed(1)},0V${HEIGHT}`);
    this.now.textContent = `${this.definition.text(this.definition.value(row))} at ${moment(row.time)}`;
  }
}

/** All charts of the page; rows are samples, oldest first. */
export class Charts {
  constructor(parent) {
    this.charts = CHARTS.map((definition) => new Chart(definition, parent));
    this.rows = [];
    this.distance = 0;
  }

  begin(table) {
    this.rows = table.rows.map((row) => Object.fromEntries(table.columns.map((name, i) => [name, row[i]])));
    this.distance = 0;
    this.draw();
  }

  add(row) {
    const last = this.rows[this.rows.length - 1];
    if (last && last.life === row.life && Math.abs(row.time - last.time) < Math.max(this.distance, 0.2)) return;
    const { time, life, explored, nodes_per_s, pending, leased, workers, busy } = row;
    this.rows.push({ time, life, explored, nodes_per_s, pending, leased, workers, busy });
    if (this.rows.length > POINTS_MAX) {
      this.rows = this.rows.filter((_, i) => i % 2 === 0);
      this.distance = (0.9 * (row.time - this.rows[0].time)) / this.rows.length;
    }
    this.draw();
  }

  draw() {
    if (!document.hidden) for (const chart of this.charts) chart.draw(this.rows);
  }
}
