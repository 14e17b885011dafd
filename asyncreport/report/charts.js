"use strict";
// Charts, drawn by Plotly. Its texts may contain markup, so every name is escaped.

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
const MOST_LINES = 8;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function escaped(text) {
  return text.replace(/\s+/g, " ").replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

// From small to large: steps of the clock for times, steps of 1, 2, 5 for others.
function tickSteps(kind) {
  const steps = { time: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800], percent: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5] }[kind] || [];
  const unit = kind === "time" ? 3600 : 1;
  for (let power = unit; power < 1e12 * unit; power *= 10) {
    steps.push(power, 2 * power, 5 * power);
  }
  return steps;
}

// A few round ticks, the first at or below a minimum, the last at or above a maximum.
function ticks(least, most, kind) {
  const step = tickSteps(kind).find((each) => (most - least) / each <= 5);
  const values = [];
  for (let number = Math.floor(least / step); number * step < most + step; number += 1) {
    values.push(number * step);
  }
  return values;
}

const AXIS_TEXT = { time, count, percent: wholePercent };

// Where the axis of a line chart begins. Not at zero if values are steady: changes would be invisible.
function lineStart(least, most) {
  return least > most / 2 ? Math.min(least, 0.8 * most) : 0;
}

function valueAxis(least, most, kind) {
  const values = ticks(least, most || 1, kind);
  return {
    tickvals: values,
    ticktext: values.map((value) => AXIS_TEXT[kind](value)),
    range: [values[0], values[values.length - 1]],
    fixedrange: true,
    gridcolor: colour("line"),
    zeroline: true,
    zerolinecolor: colour("gap"),
    automargin: true,
  };
}

// Labels thin out until they fit.
function placeAxis(labels, width, room) {
  const every = Math.max(1, Math.ceil((labels.length * room) / Math.max(width - 60, 100)));
  const places = labels.map((_, place) => place).filter((place) => place % every === 0);
  return {
    tickvals: places,
    ticktext: places.map((place) => escaped(labels[place])),
    range: [-0.6, labels.length - 0.4],
    fixedrange: true,
    showgrid: false,
    zeroline: false,
    tickangle: 0,
    automargin: true,
  };
}

function layout(height, axes) {
  return {
    height,
    margin: { l: 8, r: 8, t: 12, b: 8, pad: 4 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: FONT, size: 13, color: colour("muted") },
    hoverlabel: {
      align: "left",
      bgcolor: colour("card"),
      bordercolor: colour("gap"),
      font: { family: FONT, size: 13, color: colour("ink") },
    },
    showlegend: false,
    dragmode: false,
    hovermode: "closest",
    barmode: "stack",
    bargap: 0.25,
    ...axes,
  };
}

const CONFIG = { displayModeBar: false, responsive: false, doubleClick: false, showTips: false };

// Draw into a figure; what was there is replaced. The label is what a screen reader says.
function draw(figure, label, traces, frame) {
  let chart = figure.querySelector(".chart");
  if (!chart) {
    chart = element("div", { class: "chart", role: "img" });
    figure.querySelector(".legend").after(chart);
  }
  chart.setAttribute("aria-label", label);
  chart.style.height = `${frame.height}px`;
  return Plotly.react(chart, traces, { ...frame, width: chart.clientWidth }, CONFIG);
}

function legend(figure, items) {
  const old = figure.querySelector(".legend:not(.keys)");
  // A screen reader would announce an empty list.
  const list = element("ul", { class: "legend", hidden: items.length === 0 }, ...items);
  if (old) {
    old.replaceWith(list);
  } else {
    figure.prepend(list);
  }
}

function swatch(kind, background) {
  const made = element("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  if (background) {
    made.style.background = background;
  }
  return made;
}

// The legend of a chart over time: only the marks that it has.
function keys(figure, scope, { short, isCut = false, isBroken = false } = {}) {
  const items = [];
  if (isBroken) {
    items.push(element("li", {}, "A gap in a line: nothing was handled."));
  }
  if (isCut) {
    items.push(element("li", {}, "The axis does not begin at zero."));
  }
  if (short && scope.steps.some((_, place) => isShort(place))) {
    items.push(element("li", {}, swatch(short), `a shorter ${STEP_NAMES[DATA.every]}: the report begins or ends in it`));
  }
  if (scope.steps.some((step) => step.missing > 0)) {
    items.push(element("li", {}, swatch("gap"), "data is missing: this is not zero"));
  }
  if (scope.steps.some((step) => step.restated > 0)) {
    items.push(element("li", {}, swatch("restated"), "Genesys changed numbers later"));
  }
  const old = figure.querySelector(".keys");
  if (old) {
    old.remove();
  }
  if (items.length) {
    figure.querySelector(".chart").after(element("ul", { class: "legend keys" }, ...items));
  }
}

// Hatched bands where data is missing, and marks where numbers were changed later.
function markTraces(scope) {
  const places = [...scope.steps.keys()];
  const lacking = places.filter((place) => scope.steps[place].missing > 0);
  const changed = places.filter((place) => scope.steps[place].restated > 0);
  const traces = [];
  if (lacking.length) {
    traces.push({
      type: "bar", yaxis: "y2", x: lacking, y: lacking.map(() => 1), width: 1,
      text: lacking.map((place) => `${stepText(place)}<br>${remark(scope, place)}`),
      textposition: "none", hoverinfo: "text",
      marker: {
        color: "rgba(0,0,0,0)", line: { width: 0 },
        pattern: { shape: "/", fgcolor: colour("gap"), size: 7, solidity: 0.2 },
      },
    });
  }
  if (changed.length) {
    traces.push({
      type: "scatter", mode: "markers", yaxis: "y2", x: changed, y: changed.map(() => 0.97),
      text: changed.map((place) => `${stepText(place)}<br>${remark(scope, place)}`), hoverinfo: "text",
      marker: { symbol: "triangle-down", size: 10, color: colour("warn-line") }, cliponaxis: false,
    });
  }
  return traces;
}

// Remarks about a step, in words; empty if there are none.
function remark(scope, place) {
  const step = scope.steps[place];
  const facts = [];
  if (step.missing >= 1) {
    facts.push("no data was fetched");
  } else if (step.missing > 0) {
    facts.push(`incomplete: ${percent(Math.max(step.missing, 0.001))} of the agents' time is missing`);
  }
  if (isShort(place)) {
    facts.push(`a shorter ${STEP_NAMES[DATA.every]}: the report begins or ends in it`);
  }
  if (step.restated > 0) {
    facts.push(`${counted(step.restated, "value", "values")} changed later`);
  }
  return facts.join("; ");
}

function timeFrame(figure, height, yaxis) {
  const labels = DATA.steps.map((_, place) => tickText(place));
  const longest = Math.max(...labels.map((label) => label.length));
  return layout(height, {
    xaxis: placeAxis(labels, figure.clientWidth, 20 + 7 * longest),
    yaxis,
    yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
  });
}

function height() {
  return window.innerWidth < 700 ? 260 : 320;
}

function maximum(values) {
  return values.reduce((most, value) => Math.max(most, value || 0), 0);
}

function minimum(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? Math.min(...known) : 0;
}

function valuesOf(scope, key) {
  return scope.steps.map((step) => (step.numbers === null ? null : step.numbers[key]));
}

function hover(scope, values, kind, name) {
  return values.map((value, place) => {
    const extra = remark(scope, place);
    return `${name ? `${escaped(name)}<br>` : ""}${stepText(place)}<br><b>${SHOWN[kind](value)}</b>${extra ? `<br>${extra}` : ""}`;
  });
}

// Which lines the reader switched off, by the team's name.
const HIDDEN = new Set();

// Small enough that dots do not touch each other.
function dotSize() {
  return Math.max(2, (0.5 * Math.min(window.innerWidth, 1150)) / DATA.steps.length);
}

function lineTrace(scope, key, kind, name, look) {
  const values = valuesOf(scope, key);
  return {
    type: "scatter", mode: "lines+markers", x: [...values.keys()], y: values, connectgaps: false,
    text: hover(scope, values, kind, name), hoverinfo: "text",
    visible: !HIDDEN.has(name),
    line: { color: look.colour, width: look.width || 2, dash: look.dash || "solid" },
    marker: {
      size: Math.min(look.size || 6, dotSize()), color: scope.steps.map((step, place) => (step.missing > 0 || isShort(place) ? colour("card") : look.colour)),
      line: { width: 2, color: look.colour },
    },
  };
}

// One line for each team, or for the chosen team and all together.
function lines(scope) {
  const all = DATA.scopes[0];
  if (scope.team !== null) {
    const chosen = { scope, name: scope.team, colour: colour("series-1"), width: 3 };
    // The last line is drawn on top.
    return all.team === null ? [{ scope: all, name: "All teams", colour: colour("other"), dash: "dot", size: 4 }, chosen] : [chosen];
  }
  const teams = DATA.scopes.slice(1).sort((one, other) => other.total.handled - one.total.handled);
  const found = [{ scope: all, name: "All teams", colour: colour("ink"), width: 3 }];
  teams.slice(0, MOST_LINES).forEach((each, place) => {
    found.push({ scope: each, name: each.team, colour: colour(`series-${place + 1}`) });
  });
  return found;
}

function drawLines(figure, scope, key, kind, title) {
  const shown = lines(scope);
  const visible = shown.filter((line) => !HIDDEN.has(line.name));
  const values = visible.flatMap((line) => valuesOf(line.scope, key));
  const most = maximum(values);
  const axis = valueAxis(lineStart(minimum(values), most), most, kind);
  const traces = shown.map((line) => lineTrace(line.scope, key, kind, line.name, line));
  legend(figure, shown.length > 1 ? shown.map((line) => toggle(figure, scope, key, kind, title, line)) : []);
  const drawn = draw(figure, `Line chart: ${title} per ${STEP_NAMES[DATA.every]}. A table with the numbers follows.`,
    [...markTraces(scope), ...traces], timeFrame(figure, height(), axis));
  keys(figure, scope, { short: "hollow", isCut: axis.range[0] > 0, isBroken: visible.some((line) => isBroken(line.scope, key)) });
  sayWhichLines(figure, scope);
  return drawn;
}

// Whether the number is missing although the data is complete.
function isBroken(scope, key) {
  return scope.steps.some((step) => step.missing === 0 && step.numbers[key] === null);
}

// People can tell only a few colours apart.
function sayWhichLines(figure, scope) {
  const teams = DATA.scopes.length - 1;
  const hidden = scope.team === null ? Math.max(0, teams - MOST_LINES) : 0;
  const note = figure.querySelector(".note") || element("p", { class: "note" });
  note.textContent = `Lines: all teams together, and the ${MOST_LINES} teams that handled most. `
    + `The other ${counted(hidden, "team is", "teams are")} in the table; choose one at the top of the page to see its line.`;
  note.hidden = hidden === 0;
  figure.querySelector(".chart").before(note);
}

function toggle(figure, scope, key, kind, title, line) {
  const button = element("button", { type: "button", "aria-pressed": String(!HIDDEN.has(line.name)) },
    swatch("line", line.colour), line.name);
  button.addEventListener("click", () => {
    if (!HIDDEN.delete(line.name)) {
      HIDDEN.add(line.name);
    }
    drawLines(figure, scope, key, kind, title);
    const place = lines(scope).findIndex((each) => each.name === line.name);
    figure.querySelectorAll(".legend button")[place].focus();
  });
  return element("li", {}, button);
}

// Bars over time, one above the other: [key, name, colour] each.
function drawBars(figure, scope, layers, kind, title) {
  const values = layers.map((layer) => valuesOf(scope, layer.key));
  const totals = scope.steps.map((_, place) => values.reduce((sum, each) => sum + (each[place] || 0), 0));
  // A shorter step has fewer interactions, but its averages can be compared.
  const fades = kind === "count";
  const traces = layers.map((layer, number) => ({
    type: "bar", x: [...totals.keys()], y: values[number],
    marker: { color: layer.colour, opacity: scope.steps.map((_, place) => (fades && isShort(place) ? 0.5 : 1)) },
    text: hover(scope, values[number], kind, layer.name), textposition: "none", hoverinfo: "text",
  }));
  const items = layers.map((layer) => element("li", {}, swatch("", layer.colour), layer.name));
  legend(figure, layers.length > 1 ? items : []);
  const drawn = draw(figure, `Bar chart: ${title} per ${STEP_NAMES[DATA.every]}. A table with the numbers follows.`,
    [...traces, ...markTraces(scope)], timeFrame(figure, height(), valueAxis(0, maximum(totals), kind)));
  keys(figure, scope, { short: fades ? "short" : null });
  return drawn;
}

// A heat map of the hours of the week; hatched cells have no data.
function drawWeek(figure, week, key, kind, title) {
  const days = [...Array(7).keys()];
  const hours = [...Array(24).keys()];
  const values = week.map((row) => row.map((cell) => cell[key]));
  const [least, most] = colourRange(week, key);
  const text = week.map((row, day) => row.map((cell, hour) => {
    const extra = cell.incomplete ? "<br>incomplete: data is missing" : "";
    return `${weekdayName(day, "long")}, ${hourName(hour)}–${hourName((hour + 1) % 24)}<br><b>${SHOWN[kind](cell[key])}</b>${extra}`;
  }));
  const narrow = window.innerWidth < 700;
  const shownHours = hours.filter((hour) => hour % (narrow ? 6 : 3) === 0);
  const trace = {
    type: "heatmap", x: hours, y: days, z: values, text, hoverinfo: "text", xgap: 1, ygap: 1,
    zmin: least, zmax: most, colorscale: [[0, colour("heat-low")], [1, colour("heat-high")]],
    showscale: false,
  };
  const frame = layout(narrow ? 230 : 260, {
    xaxis: {
      tickvals: shownHours, ticktext: shownHours.map(hourName), tickangle: 0,
      fixedrange: true, showgrid: false, zeroline: false, automargin: true, range: [-0.5, 23.5],
    },
    yaxis: {
      tickvals: days, ticktext: days.map((day) => weekdayName(day, "short")), range: [6.5, -0.5],
      fixedrange: true, showgrid: false, zeroline: false, automargin: true,
    },
  });
  legend(figure, [heatScale(least, most, kind)]);
  const drawn = draw(figure, `Heat map: ${title} by weekday and hour. A table with the numbers follows.`,
    [trace, ...incompleteCells(week, key, (least + most) / 2)], frame);
  weekKeys(figure, week, key);
  return drawn;
}

// The range of the colours. A few interactions at night have an AHT far from all others:
// 5 % of the interactions may lie below the range, and 5 % above.
function colourRange(week, key) {
  const cells = week.flat().filter((cell) => cell[key] !== null);
  const most = maximum(cells.map((cell) => cell[key]));
  if (key === "handled" || !cells.length) {
    return [0, most || 1];
  }
  const ordered = cells.sort((one, other) => one[key] - other[key]);
  const total = ordered.reduce((sum, cell) => sum + cell.handled, 0);
  const at = (share) => {
    let sum = 0;
    return ordered.find((cell) => { sum += cell.handled; return sum >= share * total; })[key];
  };
  const [low, high] = [at(0.05), at(0.95)];
  return low < high ? [low, high] : [0, most];
}

function heatScale(least, most, kind) {
  const ends = [least, most].map(AXIS_TEXT[kind]);
  const low = least === 0 ? ends[0] : `${ends[0]} or less`;
  const high = least === 0 ? ends[1] : `${ends[1]} or more`;
  return element("li", {}, low, element("span", { class: "scale", "aria-hidden": "true" }), high);
}

const MOST_MARKS = 56;

function incompleteCells(week, key, middle) {
  const cells = [];
  week.forEach((row, day) => row.forEach((cell, hour) => {
    if (cell.incomplete) {
      cells.push({ hour, day, dark: cell[key] !== null && cell[key] > middle });
    }
  }));
  if (!cells.length || cells.length > MOST_MARKS) {
    return [];
  }
  return [{
    type: "scatter", mode: "markers", x: cells.map((cell) => cell.hour), y: cells.map((cell) => cell.day), hoverinfo: "skip",
    marker: { symbol: "x-thin", size: 6, line: { width: 1.5, color: cells.map((cell) => colour(cell.dark ? "card" : "ink")) } },
  }];
}

function weekKeys(figure, week, key) {
  const old = figure.querySelector(".keys");
  if (old) {
    old.remove();
  }
  const items = [];
  const cells = week.flat();
  if (cells.some((cell) => cell[key] === null && !cell.incomplete)) {
    items.push(element("li", {}, "Blank: nothing was handled in this hour."));
  }
  const number = cells.filter((cell) => cell.incomplete).length;
  if (number > MOST_MARKS) {
    items.push(element("li", {}, swatch("gap"), `in ${count(number)} of 168 hours some data is missing`));
  } else if (number) {
    items.push(element("li", {}, element("span", { "aria-hidden": "true" }, "×"), "some data of this hour is missing"));
  }
  if (items.length) {
    figure.querySelector(".chart").after(element("ul", { class: "legend keys" }, ...items));
  }
}

// How many agents are in which range of AHT, with the quartiles.
function drawSpread(figure, found) {
  const labels = found.bars.map((_, place) => time(found.first + place * found.width));
  const place = (seconds) => (seconds - found.first) / found.width - 0.5;
  const [, first, median, third] = found.quartiles;
  const text = found.bars.map((agents, number) => {
    const from = found.first + number * found.width;
    return `${time(from)} to ${time(from + found.width)}<br><b>${counted(agents, "agent", "agents")}</b>`;
  });
  const bars = {
    type: "bar", x: [...found.bars.keys()], y: found.bars, text, textposition: "none", hoverinfo: "text",
    marker: { color: colour("series-1") },
  };
  const line = (at, dash) => ({
    type: "line", x0: place(at), x1: place(at), y0: 0, y1: 1, yref: "paper",
    line: { color: colour("ink"), width: 2, dash },
  });
  const axis = placeAxis(labels, figure.clientWidth, 56);
  axis.tickvals = axis.tickvals.map((each) => each - 0.5);
  axis.range = [-0.7, labels.length - 0.3];
  const frame = layout(height(), { xaxis: axis, yaxis: valueAxis(0, maximum(found.bars), "count"), bargap: 0.06 });
  frame.shapes = [line(first, "dot"), line(median, "solid"), line(third, "dot")];
  legend(figure, [
    element("li", {}, swatch("", colour("series-1")), "agents"),
    element("li", {}, swatch("line", colour("ink")), "median: half of the agents are below it"),
    element("li", {}, element("span", { "aria-hidden": "true" }, "┊"), "quartiles: half of the agents are between them"),
  ]);
  return draw(figure, "Bar chart: number of agents by average handle time. A table with the numbers follows.", [bars], frame);
}
