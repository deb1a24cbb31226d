// The table of workers: sorted and filtered where all of them are known, so that the page holds no more rows than it shows.

import { count, time } from "./format.js";

const ROWS_MAX = 200;
const LATE_MS = 10000; // a worker that is silent for so long shows it; heartbeats come every second

const since = (row, ms) => (ms === null ? "" : time(ms / 1000));

const COLUMNS = [
  { name: "worker", label: "Id", text: (row) => shortId(row.worker), number: true },
  { name: "host", label: "Host", text: (row) => row.host },
  { name: "via", label: "Rank or key", text: (row) => row.via },
  { name: "jobs", label: "Jobs", text: (row) => count(row.jobs), number: true },
  { name: "depth", label: "Depth", text: (row) => (row.depth === null ? "" : count(row.depth)), number: true },
  { name: "granted_ms_ago", label: "On it for", text: (row) => since(row, row.granted_ms_ago), number: true },
  { name: "joined_ms_ago", label: "Here for", text: (row) => since(row, row.joined_ms_ago), number: true },
  { name: "heard_ms_ago", label: "Last heard", text: (row) => since(row, row.heard_ms_ago), number: true },
  { name: "nodes", label: "Nodes", text: (row) => count(row.nodes), number: true },
  { name: "nodes_per_s", label: "Nodes/s", text: (row) => count(row.nodes_per_s), number: true },
  { name: "killed", label: "Killed", text: (row) => count(row.killed), number: true },
];

/** Ids begin anew, 2^32 higher, with each restart: "3", after a restart "1:3". */
function shortId(id) {
  const life = Math.floor(id / 2 ** 32);
  return life ? `${life}:${id % 2 ** 32}` : String(id);
}

export class Workers {
  constructor() {
    this.sort = "worker";
    this.descending = false;
    this.body = document.getElementById("workers-rows");
    this.note = document.getElementById("workers-count");
    this.filter = document.getElementById("filter");
    this.heads = new Map();
    this.busy = false;
    this.again = false;
    for (const column of COLUMNS) this.head(column);
    this.mark();
    this.filter.addEventListener("input", () => this.load());
  }

  head(column) {
    const cell = document.createElement("th");
    cell.scope = "col";
    if (column.number) cell.className = "number";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.label;
    button.addEventListener("click", () => {
      this.descending = this.sort === column.name ? !this.descending : false;
      this.sort = column.name;
      this.mark();
      this.load();
    });
    cell.append(button);
    document.getElementById("workers-head").append(cell);
    this.heads.set(column.name, cell);
  }

  mark() {
    for (const [name, cell] of this.heads) {
      if (name === this.sort) cell.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  }

  /** Ask for the rows that are shown; one question at a time, and the last one counts. */
  async load() {
    if (document.hidden) return;
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      const query = new URLSearchParams(location.search); // with the token, if the address has it
      const wanted = { sort: this.sort, descending: this.descending ? "1" : "", filter: this.filter.value, limit: ROWS_MAX };
      for (const [name, value] of Object.entries(wanted)) query.set(name, value);
      const response = await fetch(`api/workers?${query}`);
      if (response.ok) this.show(await response.json());
    } catch {
      // The stream says that the connection is lost.
    } finally {
      this.busy = false;
      if (this.again) {
        this.again = false;
        this.load();
      }
    }
  }

  show(table) {
    const { total, listed, found, rows } = table;
    const of = this.filter.value.trim() ? `${count(found)} that match, of ${count(total)}` : count(total);
    this.note.textContent = rows.length === found && listed === total ? `${of} workers` : `the first ${rows.length} of ${of} workers`;
    while (this.body.rows.length > rows.length) this.body.deleteRow(-1);
    while (this.body.rows.length < rows.length) this.body.append(emptyRow());
    rows.forEach((row, i) => fill(this.body.rows[i], row));
  }
}

function emptyRow() {
  const line = document.createElement("tr");
  COLUMNS.forEach((column, i) => {
    const cell = document.createElement(i ? "td" : "th");
    if (!i) cell.scope = "row";
    cell.className = column.number ? "number" : "text";
    line.append(cell);
  });
  return line;
}

function fill(line, row) {
  line.className = row.lease === null ? "idle" : "";
  COLUMNS.forEach((column, i) => {
    const [cell, text] = [line.cells[i], column.text(row)];
    if (cell.textContent !== text) {
      cell.textContent = text;
      if (!column.number) cell.title = text;
    }
    if (column.name === "heard_ms_ago") cell.classList.toggle("late", row.heard_ms_ago > LATE_MS);
  });
}
