
"use strict";
// Tables that can be sorted. Without this script the page is complete, but its tables keep their order.

/**
 * The order of rows by one column: numbers by value, texts by alphabet; what is no number comes last either way.
 * Rows that are equal keep their order.
 */
function order(texts, numeric, descending) {
  const value = (text) => {
    const found = /^\s*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)/i.exec(text);
    return found ? Number(found[1]) : NaN;
  };
  const keys = texts.map((text) => (numeric ? value(text) : text.trim()));
  const sign = descending ? -1 : 1;
  return keys.map((_, row) => row).sort((a, b) => {
    const [left, right] = [keys[a], keys[b]];
    if (!numeric) return sign * left.localeCompare(right, "en", { numeric: true }) || a - b;
    if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right) || a - b;
    return sign * (left - right) || a - b;
  });
}

/** Put a button into every header of a table: it sorts by its column, then the other way round, then not at all. */
function makeSortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    const numeric = header.classList.contains("num");
    // Most numbers are scores, and the best of them are looked for first.
    const steps = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
    button.addEventListener("click", () => {
      const next = steps[(steps.indexOf(header.getAttribute("aria-sort")) + 1) % steps.length];
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) header.setAttribute("aria-sort", next);
      const texts = original.map((row) => row.cells[column].textContent);
      const rows = next ? order(texts, numeric, next === "descending").map((row) => original[row]) : original;
      body.append(...rows);
    });
  });
}

if (typeof document !== "undefined") document.querySelectorAll("table.sortable").forEach(makeSortable);
if (typeof module !== "undefined") module.exports = { order };
