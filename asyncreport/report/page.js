"use strict";
// The page: what each section shows for the team that the reader chose.

// Rows of agents at first; a few more are shown at once, too.
const FIRST_AGENTS = 25;
const FEW_MORE = 15;
const STATE = { scope: DATA.scopes[0], agents: FIRST_AGENTS };

function at(selector) {
  return document.querySelector(selector);
}

function fillHead() {
  const teams = new Set(DATA.agents.map((agent) => agent.team));
  const facts = [spanText(DATA.covered), `times in ${DATA.time_zone}`];
  if (DATA.team !== null) {
    facts.unshift(`Team in the job ${DATA.job}`);
  } else if (teams.size > 1) {
    facts.push(counted(DATA.scopes.length - 1, "team", "teams"));
  }
  if (DATA.connections.length > 1 && DATA.team === null) {
    facts.push(`organisations: ${DATA.connections.join(", ")}`);
  }
  at("#about").textContent = facts.join(" · ");
}

function notice(kind, title, items) {
  const list = items.length ? element("ul", {}, ...items.map((item) => element("li", {}, item))) : null;
  return element("div", { class: `notice ${kind}` }, element("p", {}, element("strong", {}, title)), list);
}

function fillNotices() {
  const found = [];
  const quality = DATA.quality;
  if (isEmpty()) {
    found.push(notice("warn", "No handled interactions were found in this range. Possible causes:", [
      "The range is wrong, or in the future.",
      "The users, teams, queues or media types of the export are wrong.",
      "The export may not see a division, or lacks a permission. “asyncreport check” shows what it can see.",
      "Nobody handled anything.",
    ]));
  }
  const lacking = missingFacts();
  if (lacking.length) {
    found.push(notice("warn", "Data is missing in this report. Run the job again to fetch it.", lacking));
  } else {
    found.push(notice("good", "Complete: no data is missing in this report.", remarks()));
  }
  if (lacking.length && remarks().length) {
    found.push(notice("", "Good to know", remarks()));
  }
  if (quality.counted_twice.length) {
    found.push(notice("warn", `Some interactions count several times, because the job splits its records by ${quality.counted_twice.join(", ")}.`, []));
  }
  at("#notices").replaceChildren(...found);
}

function missingFacts() {
  const quality = DATA.quality;
  const facts = [];
  if (quality.gaps.length) {
    const number = quality.gaps.length + quality.more_gaps;
    facts.push(`Data of ${counted(number, "period", "periods")} could not be fetched, or was lost: ${percent(Math.max(DATA.scopes[0].missing, 0.001))} of the agents' time. The charts show it hatched; the periods are listed at the end.`);
  }
  if (quality.unknown_teams.length) {
    facts.push(`The last run could not look up these teams, so their data is missing or old: ${quality.unknown_teams.join(", ")}.`);
  }
  if (quality.partial_files.length) {
    facts.push(`These files of the export lack records: ${quality.partial_files.join(", ")}.`);
  }
  return facts;
}

function remarks() {
  const quality = DATA.quality;
  const facts = [];
  if (DATA.covered.end < DATA.range.end) {
    facts.push(`The data was last fetched on ${MOMENT.format(new Date(DATA.covered.end))}, and the report ends there. The range of the export goes on until ${MOMENT.format(new Date(DATA.range.end))}.`);
  }
  if (quality.unsettled_from !== null) {
    facts.push(`Genesys may still change numbers from ${MOMENT.format(new Date(quality.unsettled_from))} on.`);
  }
  if (quality.stale) {
    facts.push(`${counted(quality.stale, "part of the data is", "parts of the data are")} older than the rest: the last run could not fetch ${quality.stale === 1 ? "it" : "them"} again.`);
  }
  if (quality.restated) {
    facts.push(`Genesys changed ${counted(quality.restated, "number", "numbers")} later; the last change was found on ${MOMENT.format(new Date(quality.restated_at))}. The report has the new numbers.`);
  }
  if (quality.in_several_teams && DATA.team === null) {
    facts.push(`${counted(quality.in_several_teams, "agent is", "agents are")} in several teams and counted in each of them, also in “All teams”.`);
  }
  return facts;
}

function isEmpty() {
  return DATA.scopes.every((scope) => scope.total.handled === 0);
}

function figureOf(title, value, unit, change) {
  const details = change ? element("span", { class: "change" }, change) : null;
  return [element("dt", {}, title), element("dd", {}, value, " ", element("span", { class: "unit" }, unit), details)];
}

function fillSummary() {
  const { total, agents, change } = STATE.scope;
  const grown = (value) => (change === null || value === null ? "" : `${SIGNED.format(value)} in the second half`);
  const shares = change !== null && change.occupancy !== null ? `${POINTS.format(change.occupancy * 100)} points in the second half` : "";
  const groups = [
    figureOf("Handled interactions", count(total.handled), "", grown(change && change.handled)),
    figureOf("Average handle time", time(total.aht), unit(total.aht), grown(change && change.aht)),
    figureOf("Talk", time(total.talk), unit(total.talk)),
    ...(DATA.has_hold ? [figureOf("Hold", time(total.hold), unit(total.hold))] : []),
    figureOf("Wrap-up", time(total.wrap_up), unit(total.wrap_up)),
    ...(DATA.has_occupancy ? [figureOf("Occupancy", percent(total.occupancy), "", shares)] : []),
    figureOf("Agents with data", count(agents), ""),
  ];
  at("#figures").replaceChildren(...groups.map((group) => element("div", {}, ...group)));
  at("#compared").textContent = `${averagesText()} ${comparedText(change)}`;
  at("#compared").hidden = total.handled === 0;
}

function comparedText(change) {
  if (DATA.halves === null) {
    return "The two halves of the range are not compared: it has fewer than two whole days, or its intervals are longer than a day.";
  }
  if (change === null) {
    return "The two halves of the range are not compared: data is missing in one of them.";
  }
  return `Second half: ${spanText(DATA.halves[1])}, compared with ${spanText(DATA.halves[0])}.`;
}

function averagesText() {
  return DATA.has_hold ? "Talk, hold and wrap-up are averages per handled interaction." : "Talk and wrap-up are averages per handled interaction.";
}

function stepColumn() {
  return { title: { P1D: "Day", P1W: "Week", P1M: "Month", none: "Range" }[DATA.every], kind: "text",
    value: (place) => stepText(place), mark: (place) => remark(STATE.scope, place) };
}

function numberColumn(scope, title, key, kind) {
  return { title, kind, value: (place) => (scope.steps[place].numbers === null ? null : scope.steps[place].numbers[key]) };
}

function stepTable(columns) {
  return (label) => makeTable(label, [stepColumn(), ...columns], [...DATA.steps.keys()], null);
}

// The chosen team; of all teams, each of them too.
function scopesOfTable() {
  return STATE.scope.team === null ? DATA.scopes : [STATE.scope];
}

function fillOverTime() {
  const scope = STATE.scope;
  const step = STEP_NAMES[DATA.every];
  const aht = at("#aht figure");
  const drawn = [drawLines(aht, scope, "aht", "time", "average handle time")];
  numbersUnder(aht, `Average handle time per ${step}`,
    stepTable(scopesOfTable().map((each) => numberColumn(each, scopeName(each), "aht", "time"))));
  const volume = at("#volume figure");
  drawn.push(drawBars(volume, scope, [{ key: "handled", name: "", colour: colour("series-1") }], "count", "handled interactions"));
  numbersUnder(volume, `Handled interactions per ${step}`,
    stepTable(scopesOfTable().map((each) => numberColumn(each, scopeName(each), "handled", "count"))));
  if (DATA.has_occupancy) {
    const occupancy = at("#occupancy figure");
    drawn.push(drawLines(occupancy, scope, "occupancy", "percent", "occupancy"));
    numbersUnder(occupancy, `Occupancy per ${step}`,
      stepTable(scopesOfTable().map((each) => numberColumn(each, scopeName(each), "occupancy", "percent"))));
  }
  drawn.push(fillParts(scope, step));
  return drawn;
}

function fillParts(scope, step) {
  const layers = [
    { key: "talk", name: "Talk", colour: colour("talk") },
    ...(DATA.has_hold ? [{ key: "hold", name: "Hold", colour: colour("hold") }] : []),
    { key: "wrap_up", name: "Wrap-up", colour: colour("wrap") },
    ...(hasOther(scope) ? [{ key: "other", name: "Dialing, contacting and other", colour: colour("other") }] : []),
  ];
  const figure = at("#parts figure");
  const drawn = drawBars(figure, scope, layers, "time", "time per handled interaction");
  numbersUnder(figure, `Time per handled interaction, per ${step}`,
    stepTable(layers.map((layer) => numberColumn(scope, layer.name, layer.key, "time"))));
  return drawn;
}

function hasOther(scope) {
  return scope.steps.some((step) => step.numbers !== null && step.numbers.other > 0.5);
}

function fillWeek() {
  const week = STATE.scope.week;
  if (week === null) {
    at("#week .lead").textContent = "The job's intervals are longer than an hour, so the hours of the week are not known.";
    at("#week .pair").hidden = true;
    return [];
  }
  return [
    fillWeekChart("#week-volume figure", week, "handled", "count", "Handled interactions"),
    fillWeekChart("#week-aht figure", week, "aht", "time", "Average handle time"),
  ];
}

function fillWeekChart(selector, week, key, kind, title) {
  const figure = at(selector);
  const drawn = drawWeek(figure, week, key, kind, title.toLowerCase());
  const columns = [{ title: "Hour", kind: "text", value: (hour) => hourName(hour) }];
  for (const day of week.keys()) {
    columns.push({
      title: weekdayName(day, "short"), kind, value: (hour) => week[day][hour][key],
      mark: (hour) => (week[day][hour].incomplete ? "incomplete" : ""),
    });
  }
  numbersUnder(figure, `${title} by weekday and hour`, (label) => makeTable(label, columns, [...Array(24).keys()], null));
  return drawn;
}

function fillSpread() {
  const found = STATE.scope.distribution;
  const figure = at("#spread figure");
  figure.hidden = found === null;
  if (found === null) {
    at("#spread-lead").textContent = "No agent handled anything in this range.";
    return [];
  }
  const [low, first, median, third, high] = found.quartiles.map(time);
  at("#spread-lead").textContent = found.agents === 1
    ? `One agent handled interactions, with an average handle time of ${median}.`
    : `${counted(found.agents, "agent", "agents")} by average handle time. Half of them are between ${first} and ${third}; the median is ${median}, the lowest ${low}, the highest ${high}.`;
  const drawn = drawSpread(figure, found);
  const columns = [
    { title: "AHT from", kind: "time", value: (place) => found.first + place * found.width },
    { title: "to", kind: "time", value: (place) => found.first + (place + 1) * found.width },
    { title: "Agents", kind: "count", value: (place) => found.bars[place] },
  ];
  numbersUnder(figure, "Agents by average handle time", (label) => makeTable(label, columns, [...found.bars.keys()], null));
  return [drawn];
}

function numberColumns() {
  const column = (title, key, kind) => ({ title, kind, value: (row) => row.numbers[key] });
  return [
    column("Handled", "handled", "count"),
    column("AHT", "aht", "time"),
    column("Talk", "talk", "time"),
    ...(DATA.has_hold ? [column("Hold", "hold", "time")] : []),
    column("Wrap-up", "wrap_up", "time"),
    ...(DATA.has_occupancy ? [column("Occupancy", "occupancy", "percent")] : []),
  ];
}

function organisationColumns() {
  return DATA.connections.length > 1 ? [{ title: "Organisation", kind: "text", value: (row) => row.connection, wide: true }] : [];
}

function teamRows() {
  const teams = DATA.scopes.filter((scope) => scope.team !== null);
  return teams.map((scope) => ({ ...scope, numbers: scope.total }));
}

function underAgent() {
  return DATA.scopes.length > 1 ? { under: (row) => row.team } : {};
}

function incomplete(isIncomplete) {
  return (row) => (isIncomplete(row) ? "incomplete" : "");
}

function agentMark(agent) {
  const facts = [];
  if (agent.id === null) {
    facts.push("handled without an agent");
  } else if (agent.name === null) {
    facts.push("name not known");
  } else if (idsOfName(agent.name).size > 1) {
    facts.push(`another agent has this name; id ${agent.id}`);
  }
  // Once above the table is enough for all of them.
  if (agent.incomplete && !ALL_INCOMPLETE) {
    facts.push("incomplete");
  }
  return facts.join("; ");
}

// The agents who have a name, as ids with their organisation.
const IDS = new Map();
for (const { name, connection, id } of DATA.agents) {
  IDS.set(name, idsOfName(name).add(`${connection} ${id}`));
}

function idsOfName(name) {
  return IDS.get(name) || new Set();
}

const ALL_INCOMPLETE = DATA.agents.every((agent) => agent.incomplete);

const TEAMS = new SortedTable(at("#teams .table"), "Teams", [
  { title: "Team", kind: "text", value: (row) => row.team, mark: incomplete((row) => row.missing > 0) },
  ...organisationColumns(),
  { title: "Agents", kind: "count", value: (row) => row.agents },
  ...numberColumns(),
], { place: 0, order: "ascending" });

const AGENTS = new SortedTable(at("#agents .table"), "Agents", [
  { title: "Agent", kind: "text", value: agentName, mark: agentMark, ...underAgent() },
  ...(DATA.scopes.length > 1 ? [{ title: "Team", kind: "text", value: (row) => row.team, wide: true }] : []),
  ...organisationColumns(),
  ...numberColumns(),
], { place: 0, order: "ascending" });

function fillAgents() {
  const words = at("#find").value.trim().toLocaleLowerCase();
  const ofTeam = DATA.agents.filter((agent) => STATE.scope.team === null || agent.team === STATE.scope.team);
  const rows = ofTeam.filter((agent) => `${agentName(agent)} ${agent.team}`.toLocaleLowerCase().includes(words));
  const shown = rows.length <= STATE.agents + FEW_MORE ? rows.length : STATE.agents;
  AGENTS.show(rows, shown);
  at("#found").textContent = shown < rows.length
    ? `${count(shown)} of ${counted(rows.length, "row", "rows")} shown` : counted(rows.length, "row", "rows");
  at("#agents .note").hidden = !ALL_INCOMPLETE || rows.length === 0;
  at("#all-agents").hidden = shown === rows.length;
  at("#all-agents").textContent = `Show all ${count(rows.length)} rows`;
}

function fillQuality() {
  const quality = DATA.quality;
  const facts = [...missingFacts(), ...remarks()];
  const text = facts.length ? facts : ["Nothing is missing, and Genesys changed no number after it was fetched."];
  at("#quality-text").replaceChildren(element("ul", {}, ...text.map((fact) => element("li", {}, fact))));
  if (!quality.gaps.length) {
    return;
  }
  const columns = [
    { title: "Team", kind: "text", value: (gap) => gap.team },
    { title: "Not fetched", kind: "text", value: (gap) => spanText(gap.span) },
    { title: "Agents", kind: "text", value: (gap) => (gap.agents === null ? "everyone" : count(gap.agents)) },
  ];
  const label = quality.more_gaps ? `The first periods without data; ${count(quality.more_gaps)} more exist` : "Periods without data";
  at("#quality .table").replaceChildren(scrolling(label, makeTable(label, columns, quality.gaps, null)));
  if (quality.more_gaps) {
    at("#quality .table").append(element("p", { class: "note" }, `${count(quality.more_gaps)} more periods are not listed.`));
  }
}

function fillOrigin() {
  const { command, version, at: made, last_run: run } = DATA.origin;
  const moment = (text) => MOMENT.format(new Date(text));
  const facts = [
    ["Made by", element("code", {}, command)],
    ["Version", `asyncreport ${version}`],
    ["Made on", moment(made)],
    ["Range of the export", spanText(DATA.range)],
  ];
  if (run !== null) {
    facts.push(["Last fetched", `${moment(run.started)}, ${counted(run.requests, "request", "requests")}`]);
    if (run.settled_until !== null) {
      facts.push(["Numbers final until", moment(run.settled_until)]);
    }
  }
  at("#origin").replaceChildren(...facts.flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]));
}

function fillTeamChoice() {
  const names = DATA.scopes.map((scope, place) => element("option", { value: place }, scopeName(scope)));
  at("#team").replaceChildren(...names);
  at("#team-choice").hidden = DATA.scopes.length === 1;
}

function drawAll() {
  if (isEmpty()) {
    for (const name of ["aht", "parts", "volume", "occupancy", "week", "spread"]) {
      at(`#${name}`).hidden = true;
    }
    at("#teams").hidden = at("#agents").hidden = DATA.agents.length === 0;
    return Promise.resolve();
  }
  at("#occupancy").hidden = !DATA.has_occupancy;
  return Promise.all([...fillOverTime(), ...fillWeek(), ...fillSpread()]);
}

function showScope() {
  fillSummary();
  fillAgents();
  return drawAll();
}

function isDark() {
  return document.documentElement.dataset.scheme === "dark";
}

function setScheme(dark) {
  document.documentElement.dataset.scheme = dark ? "dark" : "light";
  at("#scheme").textContent = dark ? "Light colours" : "Dark colours";
}

function listen() {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  setScheme(preferred.matches);
  preferred.addEventListener("change", () => { setScheme(preferred.matches); drawAll(); });
  at("#scheme").addEventListener("click", () => { setScheme(!isDark()); drawAll(); });
  at("#team").addEventListener("change", (event) => {
    STATE.scope = DATA.scopes[Number(event.target.value)];
    STATE.agents = FIRST_AGENTS;
    showScope();
  });
  at("#find").addEventListener("input", () => { STATE.agents = FIRST_AGENTS; fillAgents(); });
  at("#all-agents").addEventListener("click", () => { STATE.agents = Infinity; fillAgents(); at("#agents .scroll").focus(); });
  listenToSize();
  listenToPrinter();
}

function listenToSize() {
  let width = window.innerWidth;
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    // A phone changes only the height when its address bar moves.
    if (window.innerWidth !== width) {
      waiting = setTimeout(() => { width = window.innerWidth; drawAll(); }, 150);
    }
  });
}

// On paper the colours are the light ones.
function listenToPrinter() {
  let dark = false;
  window.addEventListener("beforeprint", () => { dark = isDark(); setScheme(false); drawAll(); });
  window.addEventListener("afterprint", () => { setScheme(dark); drawAll(); });
}

async function start() {
  fillHead();
  listen();
  fillNotices();
  fillTeamChoice();
  TEAMS.show(teamRows(), Infinity);
  fillQuality();
  fillOrigin();
  await showScope();
  document.documentElement.dataset.drawn = "true";
}

start();
