"use strict";
const STEP = 200, PRINTED = 5000, CHOICES = 1000;
const $ = (id) => document.getElementById(id);
let data, order = [], drawn = 0, sorted = {name: "", down: false};

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const text = (column, row) => data.strings[data.columns[column][row]];
const path = (row) => text("folder", row) + text("file", row);

/* What a search looks at, in lower case: made once, when it is first needed. */
function haystack() {
  if (!data.haystack) {
    data.haystack = data.sizes.map((_, row) =>
      [path(row), text("signer", row), text("reason", row), text("vendor", row), data.sha256[row]].join("\n").toLowerCase());
  }
  return data.haystack;
}

function select() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = ["verdict", "signer", "release", "outer"]
    .filter((name) => $(name).value !== "").map((name) => [data.columns[name], Number($(name).value)]);
  const hay = words.length ? haystack() : [];
  order = [];
  for (let row = 0; row < data.sizes.length; row++) {
    if (chosen.every(([column, value]) => column[row] === value) && words.every((w) => hay[row].includes(w))) order.push(row);
  }
  arrange();
}

/* Texts are ranked once a column, so that rows are compared by numbers. */
function ranks(column) {
  data.ranks ??= {};
  if (!data.ranks[column]) {
    const used = [...new Set(data.columns[column])].sort((a, b) => (data.strings[a] < data.strings[b] ? -1 : 1));
    data.ranks[column] = new Map(used.map((number, rank) => [number, rank]));
  }
  return data.ranks[column];
}

function arrange() {
  const by = {path: ["folder", "file"], verdict: ["verdict"], signer: ["signer"], format: ["format", "hash"],
    release: ["release"], reason: ["reason"], size: []}[sorted.name];
  if (by) {
    const way = sorted.down ? -1 : 1;
    const tables = by.map((name) => [data.columns[name], ranks(name)]);
    const key = sorted.name === "size" ? (row) => data.sizes[row] : null;
    order.sort((a, b) => {
      if (key) return way * (key(a) - key(b)) || a - b;
      for (const [column, rank] of tables) {
        const step = rank.get(column[a]) - rank.get(column[b]);
        if (step) return way * step;
      }
      return a - b;
    });
  }
  $("modules").tBodies[0].replaceChildren();
  drawn = 0;
  draw(STEP);
}

function cell(words, kind) {
  const made = document.createElement("td");
  made.textContent = words;
  if (kind) made.className = kind;
  return made;
}

function line(row) {
  const made = document.createElement("tr");
  const name = document.createElement("td");
  const open = document.createElement("button");
  open.type = "button";
  open.textContent = path(row);
  open.setAttribute("aria-expanded", "false");
  open.addEventListener("click", () => detail(made, open, row));
  name.append(open);
  const verdict = cell(text("verdict", row), "verdict w");
  verdict.style.setProperty("--word", `var(--${text("verdict", row)})`);
  const form = [text("format", row), text("hash", row)].filter(Boolean).join(" ");
  made.append(name, verdict, cell(text("signer", row)), cell(form), cell(text("release", row)),
    cell(String(data.sizes[row]), "n"), cell(text("reason", row)));
  return made;
}

function detail(made, open, row) {
  if (made.nextSibling && made.nextSibling.className === "detail") {
    made.nextSibling.remove();
    open.setAttribute("aria-expanded", "false");
    return;
  }
  open.setAttribute("aria-expanded", "true");
  const more = document.createElement("tr"), wide = document.createElement("td"), list = document.createElement("dl");
  more.className = "detail";
  wide.colSpan = 7;
  const facts = [["Path", path(row)], ["Found in", text("layers", row)], ["SHA-256", data.sha256[row]],
    ["Compression", text("compression", row)], ["Signer", text("signer", row)],
    ["Kernel", text("kernel", row)], ["Against the vendor", text("vendor", row)], ["Reason", text("reason", row)]];
  for (const [name, value] of facts) {
    if (!value) continue;
    const term = document.createElement("dt"), said = document.createElement("dd");
    term.textContent = name;
    said.textContent = value;
    list.append(term, said);
  }
  wide.append(list);
  if (row in data.maps) {
    const link = document.createElement("a");
    link.href = `#map-${data.maps[row]}`;
    link.textContent = "What the signature protects in this file";
    wide.append(link);
  }
  more.append(wide);
  made.after(more);
}

function draw(count) {
  const part = document.createDocumentFragment();
  const end = Math.min(order.length, drawn + count);
  for (; drawn < end; drawn++) part.append(line(order[drawn]));
  $("modules").tBodies[0].append(part);
  const total = data.sizes.length;
  $("count").textContent = `${order.length} of ${total} modules` + (drawn < order.length ? `, the first ${drawn} are shown` : "");
  $("more").hidden = drawn >= order.length;
}

function options(name) {
  const counts = new Map();
  for (const number of data.columns[name]) counts.set(number, (counts.get(number) || 0) + 1);
  const rows = [...counts].sort((a, b) => b[1] - a[1] || (data.strings[a[0]] < data.strings[b[0]] ? -1 : 1));
  for (const [number, count] of rows.slice(0, CHOICES)) {
    const made = document.createElement("option");
    made.value = number;
    made.textContent = `${data.strings[number] || "none"} (${count})`;
    $(name).append(made);
  }
}

function listen() {
  let waiting = 0;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(select, 120); });
  document.querySelector("form.controls").addEventListener("submit", (event) => { event.preventDefault(); select(); });
  for (const name of ["verdict", "signer", "release", "outer"]) $(name).addEventListener("change", select);
  for (const head of document.querySelectorAll("#modules th button")) {
    head.addEventListener("click", () => {
      const name = head.dataset.sort;
      sorted = {name, down: sorted.name === name && !sorted.down};
      for (const th of document.querySelectorAll("#modules th")) th.removeAttribute("aria-sort");
      head.parentElement.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      arrange();
    });
  }
  $("more").addEventListener("click", () => draw(STEP));
  new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting) && !$("more").hidden) draw(STEP); },
    {rootMargin: "600px"}).observe($("more"));
  for (const link of document.querySelectorAll("button[data-filter]")) {
    link.addEventListener("click", () => {
      $("search").value = "";
      for (const name of ["verdict", "signer", "release", "outer"]) $(name).value = name === link.dataset.filter ? link.dataset.value : "";
      select();
      $("all").scrollIntoView();
    });
  }
  addEventListener("beforeprint", () => draw(Math.max(0, PRINTED - drawn)));
}

unpack($("data").textContent).then((read) => {
  data = read;
  for (const name of ["verdict", "signer", "release", "outer"]) options(name);
  listen();
  select();
}, (reason) => { $("count").textContent = `The list cannot be read: ${reason}`; });
