"use strict";
for (const section of document.querySelectorAll("section.signature-map")) {
  const readout = section.querySelector(".readout");
  if (!readout) continue;
  const idle = readout.textContent;
  const marked = () => section.querySelectorAll("[data-part].on");
  const show = (event) => {
    const hit = event.target.closest("[data-part]");
    for (const old of marked()) old.classList.remove("on");
    if (!hit) { readout.textContent = idle; return; }
    const same = section.querySelectorAll('[data-part="' + hit.dataset.part + '"]');
    for (const each of same) each.classList.add("on");
    const row = section.querySelector('tr[data-part="' + hit.dataset.part + '"]');
    readout.textContent = row ? row.dataset.text : idle;
  };
  for (const area of section.querySelectorAll("svg, tbody")) {
    area.addEventListener("mouseover", show);
    area.addEventListener("focusin", show);
    area.addEventListener("click", show);
    area.addEventListener("mouseleave", show);
  }
}
