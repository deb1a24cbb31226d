// The page: follows the run's events and shows them. It can change nothing.

import { Charts } from "./charts.js";
import { count, roughly, share, time } from "./format.js";
import { Workers } from "./workers.js";

const SILENT_MS = 6000; // the coordinator speaks every second
const AGAIN_MS = 3000; // a browser that was refused does not try again by itself
const DEPTHS_MAX = 24;

const byId = (id) => document.getElementById(id);
const charts = new Charts(byId("charts"));
const workers = new Workers();

let heardAt = 0;
let latest = null;
let said = { phase: "", link: "", tenth: 0, quarantined: 0 };

// Connection

function connect() {
  const stream = new EventSource(`events${location.search}`);
  stream.addEventListener("history", (event) => charts.begin(JSON.parse(event.data)));
  stream.addEventListener("status", (event) => showStatus(JSON.parse(event.data)));
  stream.addEventListener("result", (event) => showResult(JSON.parse(event.data)));
  stream.addEventListener("quarantined", (event) => showQuarantined(JSON.parse(event.data)));
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) {
      refused();
      setTimeout(connect, AGAIN_MS);
    } else {
      lost();
    }
  };
}

function lost() {
  if (latest?.phase === "ended") showLink("ended", "the run has ended: these are its last numbers");
  else showLink("lost", "connection lost, waiting for the coordinator");
}

async function refused() {
  const response = await fetch(`api/status${location.search}`).catch(() => null);
  if (response?.status === 403) showLink("refused", "not let in: open the address that the run printed at its start");
  else lost();
}

setInterval(() => {
  const silence = performance.now() - heardAt;
  if (byId("link").dataset.state === "live" && silence > SILENT_MS && latest?.phase !== "ended")
    showLink("silent", "the coordinator has been silent for a while");
}, 1000);

document.addEventListener("visibilitychange", () => {
  charts.draw();
  workers.load();
});

function showLink(state, text) {
  byId("link").dataset.state = state;
  byId("link-text").textContent = text;
  if (state !== said.link) {
    if (said.link && !(said.link === "waiting")) announce(text);
    said.link = state;
  }
}

/** Tell a screen reader; only what matters, and seldom. */
function announce(text) {
  byId("announcer").textContent = text;
}

// Numbers

function put(id, value, text) {
  const element = byId(id);
  element.value = value;
  if (element.textContent !== text) element.textContent = text;
}

function showStatus(status) {
  heardAt = performance.now();
  latest = status;
  document.body.dataset.time = status.time;
  showLink("live", "live");
  byId("title").textContent = status.title || status.problem || "parry_mpi";
  document.title = `${share(status.explored)} ${status.title || "parry_mpi"}`;
  byId("where").textContent = [status.host && `on ${status.host}`, status.run_dir].filter(Boolean).join(" · ");
  for (const name of ["nodes", "busy", "workers", "leased", "solved", "shared", "killings", "quarantined", "restarts"])
    put(name, status[name], count(status[name]));
  put("nodes_per_s", status.nodes_per_s, count(status.nodes_per_s));
  put("pending", status.pending, count(status.pending) + (status.roots_left ? "+" : ""));
  put("unemployed", status.workers - status.busy, count(status.workers - status.busy));
  put("explored", status.explored, share(status.explored));
  put("seconds", status.seconds, time(status.seconds));
  byId("tile-quarantined").classList.toggle("alarm", status.quarantined > 0);
  showPhase(status);
  showProgress(status);
  showWalltime(status);
  showObjective(status);
  showDepths(status.by_depth);
  charts.add({ ...status, life: status.restarts });
  workers.load();
}

function phaseOf(status) {
  if (status.phase !== "ended") return status.phase;
  if (status.complete) return "complete";
  return status.explored < 1 && (status.pending || status.leased || status.roots_left) ? "stopped" : "incomplete";
}

function showPhase(status) {
  const phase = phaseOf(status);
  byId("phase").textContent = phase === "settling" ? "committing" : phase;
  byId("phase").dataset.phase = phase;
  byId("result-heading").textContent = status.complete ? "Result" : "Result so far";
  const tenth = Math.floor(status.explored * 10);
  if (said.phase && phase !== said.phase) announce(`The run is ${phase}.`);
  else if (said.phase && tenth > said.tenth) announce(`${tenth * 10} percent explored.`);
  else if (said.phase && status.quarantined > said.quarantined) announce(`${status.quarantined} jobs are quarantined.`);
  said = { ...said, phase, tenth, quarantined: status.quarantined };
}

function showProgress(status) {
  const percent = status.explored * 100;
  byId("bar-fill").style.width = `${percent}%`;
  byId("bar").setAttribute("aria-valuenow", percent.toFixed(1));
  byId("bar").setAttribute("aria-valuetext", `${share(status.explored)} explored`);
  const estimate = status.complete ? null : status.estimate;
  const range = byId("bar-range");
  range.hidden = !estimate?.nodes_high;
  if (status.phase === "ended") {
    byId("left").textContent = status.complete ? "none" : "–";
    byId("estimate").textContent = status.complete ? "All of the tree is accounted for." : "The run has ended before the tree was explored.";
    return;
  }
  if (!estimate) {
    byId("left").textContent = "not known yet";
    byId("estimate").textContent = "How large the tree is: not known yet.";
    return;
  }
  const [low, high] = [status.nodes / estimate.nodes_high, status.nodes / Math.max(estimate.nodes_low, status.nodes, 1)];
  range.style.left = `${Math.min(low, 1) * 100}%`;
  range.style.width = `${Math.max(0, Math.min(high, 1) - low) * 100}%`;
  byId("left").textContent = estimate.seconds_left === null || estimate.seconds_left === undefined
    ? "not known yet"
    : `about ${roughly(estimate.seconds_left)} (${roughly(estimate.seconds_left_low)} to ${roughly(estimate.seconds_left_high)})`;
  byId("estimate").textContent =
    `The tree has about ${count(estimate.nodes)} nodes (${count(estimate.nodes_low)} to ${count(estimate.nodes_high)}); ` +
    `by that, ${share(low)} to ${share(high)} of them are explored (hatched).`;
}

function showWalltime(status) {
  const known = typeof status.walltime_left_s === "number";
  byId("walltime-fact").hidden = !known;
  if (known) byId("walltime").textContent = `${time(status.walltime_left_s)}, the run stops ${time(status.margin_s)} before`;
}

function showObjective(status) {
  const known = typeof status.objective === "number" || typeof status.bound === "number";
  byId("objective").hidden = !known;
  if (!known) return;
  const best = typeof status.objective === "number" ? `best objective ${status.objective}` : "no solution yet";
  byId("objective").textContent = typeof status.bound === "number" ? `${best}, nothing beats ${status.bound}` : best;
}

function showResult(result) {
  const text = result.text || "nothing yet";
  const words = byId("result-text");
  words.textContent = text;
  words.classList.toggle("short", text.length <= 40);
  const frame = byId("result-html");
  frame.hidden = !result.html;
  if (frame.srcdoc !== result.html) frame.srcdoc = result.html;
}

/** Depths that follow on each other share a row where there are too many. */
function grouped(rows) {
  const size = Math.ceil(rows.length / DEPTHS_MAX) || 1;
  const groups = [];
  for (let i = 0; i < rows.length; i += size) {
    const part = rows.slice(i, i + size);
    const sum = (column) => part.reduce((total, row) => total + row[column], 0);
    const [first, last] = [part[0][0], part[part.length - 1][0]];
    groups.push({ name: first === last ? String(first) : `${first}–${last}`, pending: sum(1), leased: sum(2) });
  }
  return groups;
}

function showDepths(byDepth) {
  const rows = grouped(byDepth);
  const body = byId("depths");
  byId("no-depths").hidden = rows.length > 0;
  const most = rows.reduce((largest, row) => Math.max(largest, row.pending + row.leased), 1);
  while (body.rows.length > rows.length) body.deleteRow(-1);
  while (body.rows.length < rows.length) body.append(depthRow());
  rows.forEach((row, i) => {
    const [name, bars, pending, leased] = body.rows[i].cells;
    name.textContent = row.name;
    bars.firstChild.children[0].style.width = `${(row.pending / most) * 100}%`;
    bars.firstChild.children[1].style.width = `${(row.leased / most) * 100}%`;
    pending.textContent = count(row.pending);
    leased.textContent = count(row.leased);
  });
}

function depthRow() {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  const cell = document.createElement("td");
  const bars = document.createElement("div");
  bars.className = "bars";
  bars.setAttribute("aria-hidden", "true");
  for (const className of ["p", "l"]) {
    const bar = document.createElement("span");
    bar.className = className;
    bars.append(bar);
  }
  cell.append(bars);
  const numbers = [0, 1].map(() => Object.assign(document.createElement("td"), { className: "number" }));
  line.append(name, cell, ...numbers);
  return line;
}

function showQuarantined(jobs) {
  byId("quarantine").hidden = !jobs.length;
  const list = byId("quarantined-list");
  list.replaceChildren(
    ...jobs.map((job) => {
      const item = document.createElement("li");
      const where = document.createElement("p");
      where.className = "note";
      where.textContent = `depth ${job.depth}, killed ${job.killed} times${job.host ? `, last on ${job.host}` : ""}`;
      if (!job.details) {
        item.append(Object.assign(document.createElement("p"), { textContent: job.error }), where);
        return item;
      }
      const details = document.createElement("details");
      details.append(
        Object.assign(document.createElement("summary"), { textContent: job.error }),
        Object.assign(document.createElement("pre"), { textContent: job.details }),
      );
      item.append(details, where);
      return item;
    }),
  );
}

connect();
