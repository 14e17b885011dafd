"use strict";
// Numbers, times and dates as text, in the reader's own language and the time zone of the job.

const DATA = JSON.parse(document.getElementById("data").textContent);
const NONE = "–";

const PLAIN = new Intl.NumberFormat();
const PERCENT = new Intl.NumberFormat(undefined, {
  style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1,
});
const WHOLE_PERCENT = new Intl.NumberFormat(undefined, { style: "percent" });
const SIGNED = new Intl.NumberFormat(undefined, {
  style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero",
});
const POINTS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1, signDisplay: "exceptZero" });

function inZone(options) {
  return new Intl.DateTimeFormat(undefined, { ...options, timeZone: DATA.time_zone });
}

const DAY = inZone({ day: "numeric", month: "short", year: "numeric" });
const WEEKDAY = inZone({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const SHORT_DAY = inZone({ day: "numeric", month: "short" });
const SHORT_DAY_OF_YEAR = inZone({ day: "numeric", month: "short", year: "2-digit" });
const YEAR = inZone({ year: "numeric" });
const MONTH = inZone({ month: "short", year: "numeric" });
const MOMENT = inZone({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

// For comparisons, not for people.
const CLOCK = new Intl.DateTimeFormat("en", {
  day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  timeZone: DATA.time_zone,
});

function count(value) {
  return value === null ? NONE : PLAIN.format(value);
}

function percent(value) {
  return value === null ? NONE : PERCENT.format(value);
}

function wholePercent(value) {
  return WHOLE_PERCENT.format(value);
}

// Seconds as minutes:seconds, or hours:minutes:seconds.
function time(seconds) {
  if (seconds === null) {
    return NONE;
  }
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) {
    return `${minutes}:${two(whole % 60)}`;
  }
  return `${PLAIN.format(Math.floor(minutes / 60))}:${two(minutes % 60)}:${two(whole % 60)}`;
}

// How a time is to be read.
function unit(seconds) {
  if (seconds === null) {
    return "";
  }
  return Math.round(seconds) < 3600 ? "min:s" : "h:min:s";
}

function counted(number, one, many) {
  return `${PLAIN.format(number)} ${number === 1 ? one : many}`;
}

function isMidnight(date) {
  return CLOCK.format(date).endsWith("00:00:00");
}

// A span as people write it: the end is the last day in it, or a moment.
function spanText(span) {
  const start = new Date(span.start);
  const end = new Date(span.end);
  if (isMidnight(start) && isMidnight(end)) {
    return DAY.formatRange(start, new Date(end - 1));
  }
  return `${MOMENT.format(start)} – ${MOMENT.format(end)}`;
}

// The name of a step of a time axis; a short one for the axis itself.
function stepText(number) {
  const span = DATA.steps[number];
  const start = new Date(span.start);
  if (DATA.every === "P1D") {
    return WEEKDAY.format(start);
  }
  if (DATA.every === "P1M" && isWholeMonth(span)) {
    return MONTH.format(start);
  }
  return spanText(span);
}

function isWholeMonth(span) {
  return [span.start, span.end].every((at) => /^0?1, 00:00:00$/.test(CLOCK.format(new Date(at))));
}

function tickText(number) {
  const start = new Date(DATA.steps[number].start);
  if (DATA.every === "P1M") {
    return MONTH.format(start);
  }
  return isOfOneYear() ? SHORT_DAY.format(start) : SHORT_DAY_OF_YEAR.format(start);
}

function isOfOneYear() {
  const [first, last] = [DATA.steps[0], DATA.steps[DATA.steps.length - 1]].map((span) => new Date(span.start));
  return YEAR.format(first) === YEAR.format(last);
}

// Whether the range cuts a step short; a day may have 23 hours.
function isShort(number) {
  const span = DATA.steps[number];
  const hours = (new Date(span.end) - new Date(span.start)) / 3600000;
  if (DATA.every === "P1M") {
    return !isWholeMonth(span);
  }
  return hours < { P1D: 22, P1W: 166, none: 0 }[DATA.every];
}

const STEP_NAMES = { P1D: "day", P1W: "week", P1M: "month", none: "whole range" };

// Monday to Sunday: 1 January 2024 was a Monday.
const WEEKDAYS = [...Array(7).keys()].map((day) => new Date(Date.UTC(2024, 0, 1 + day)));

function weekdayName(day, length) {
  return new Intl.DateTimeFormat(undefined, { weekday: length, timeZone: "UTC" }).format(WEEKDAYS[day]);
}

function hourName(hour) {
  return `${String(hour).padStart(2, "0")}:00`;
}

function agentName(agent) {
  if (agent.id === null) {
    return "No agent";
  }
  return agent.name === null ? agent.id : agent.name;
}

function scopeName(scope) {
  return scope.team === null ? "All teams" : scope.team;
}

// An element with attributes and children; text becomes text, whatever it contains.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== false) {
      made.setAttribute(key, value === true ? "" : value);
    }
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
