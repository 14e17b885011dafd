"use strict";
// Tables: under each chart, and those of teams and agents, which can be sorted.

// A column: title, kind ("text", "count", "time" or "percent"), value(row), and mark(row), a remark. One that is
// `wide` is left out on a narrow screen; what it says is `under` the first one there.
const SHOWN = { text: (value) => value, count, time, percent };

function makeTable(caption, columns, rows, sorting) {
  const head = element("tr", {}, ...columns.map((column, place) => headCell(column, place, sorting)));
  const body = element("tbody", {}, ...rows.map((row) => bodyRow(columns, row)));
  return element("table", {}, element("caption", {}, caption), element("thead", {}, head), body);
}

function headCell(column, place, sorting) {
  const cell = element("th", { scope: "col", class: classOf(column) });
  if (!sorting) {
    cell.append(column.title);
    return cell;
  }
  const isSorted = sorting.place === place;
  cell.setAttribute("aria-sort", isSorted ? sorting.order : "none");
  const button = element("button", { type: "button" }, column.title);
  button.addEventListener("click", () => sorting.choose(place));
  cell.append(button);
  return cell;
}

function classOf(column) {
  return `${column.kind === "text" ? "text" : "number"}${column.wide ? " wide" : ""}`;
}

function bodyRow(columns, row) {
  return element("tr", {}, ...columns.map((column, place) => bodyCell(column, row, place === 0)));
}

function bodyCell(column, row, isFirst) {
  const value = column.value(row);
  const text = SHOWN[column.kind](value);
  const shown = column.kind === "text" || value === null ? text : element("data", { value }, text);
  const remark = column.mark ? column.mark(row) : "";
  const mark = remark ? element("div", { class: "mark" }, remark) : null;
  const under = column.under ? element("div", { class: "mark narrow" }, column.under(row)) : null;
  const scope = isFirst ? { scope: "row" } : {};
  return element(isFirst ? "th" : "td", { ...scope, class: classOf(column) }, shown, under, mark);
}

// A place for a wide table: it scrolls by itself, also with the keyboard.
function scrolling(label, table) {
  return element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Table: ${label}` }, table);
}

// A table that the reader can sort; only the first rows are shown until all are asked for.
class SortedTable {
  constructor(place, label, columns, first) {
    this.place = place;
    this.label = label;
    this.columns = columns;
    this.sorted = first.place;
    this.order = first.order;
    this.rows = [];
    this.most = Infinity;
  }

  show(rows, most) {
    this.rows = rows;
    this.most = most;
    this.draw();
  }

  choose(place) {
    const isText = this.columns[place].kind === "text";
    if (this.sorted === place) {
      this.order = this.order === "ascending" ? "descending" : "ascending";
    } else {
      this.order = isText ? "ascending" : "descending";
    }
    this.sorted = place;
    this.draw();
    // The buttons are new ones: the keyboard stays where it was.
    this.place.querySelectorAll("th button")[place].focus();
  }

  draw() {
    const column = this.columns[this.sorted];
    const compare = byValue(column, this.order);
    const rows = [...this.rows].sort(compare).slice(0, this.most);
    const sorting = { place: this.sorted, order: this.order, choose: (place) => this.choose(place) };
    const table = makeTable(this.label, this.columns, rows, sorting);
    this.place.replaceChildren(scrolling(this.label, table));
  }
}

// Rows without a value come last in both orders.
function byValue(column, order) {
  const sign = order === "ascending" ? 1 : -1;
  return (one, other) => {
    const first = column.value(one);
    const second = column.value(other);
    if (first === null || second === null) {
      return (first === null) - (second === null);
    }
    if (column.kind === "text") {
      return sign * first.localeCompare(second, undefined, { numeric: true });
    }
    return sign * (first - second);
  };
}

// The numbers of a chart, made when they are opened.
function numbersUnder(figure, label, make) {
  let details = figure.querySelector("details");
  if (!details) {
    details = element("details", {}, element("summary", {}, "Show the numbers as a table"), element("div"));
    details.addEventListener("toggle", () => details.refill());
    figure.append(details);
  }
  details.refill = () => {
    const place = details.lastElementChild;
    place.replaceChildren(...(details.open ? [scrolling(label, make(label))] : []));
  };
  details.refill();
}
