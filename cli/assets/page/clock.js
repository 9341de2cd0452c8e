// Times and lengths of time. Everything is UTC, as in the table and in CloudTrail.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (number) => String(number).padStart(2, '0');

// The day of a moment, such as 2026-11-22.
const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

// A moment to the second, such as 2026-11-22 09:30:00.
const moment = (ms) => `${dayOf(ms)} ${new Date(ms).toISOString().slice(11, 19)}`;

// A length of time in its two largest units, such as 2.2 s, 4 min 10 s or 3 d 2 h.
function length(ms) {
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < MINUTE) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const units = [
    [DAY, 'd'],
    [HOUR, 'h'],
    [MINUTE, 'min'],
    [SECOND, 's'],
  ];
  const first = units.findIndex(([unit]) => ms >= unit);
  const [[large, name], [small, smallName]] = units.slice(first, first + 2);
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${name}${rest ? ` ${rest} ${smallName}` : ''}`;
}

// The steps that a time axis may take. From a day up they begin at midnight.
const STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 259200, 432000,
  604800, 1209600, 2592000,
].map((seconds) => seconds * SECOND);

// The step of an axis between two moments, with at most so many marks.
const stepOf = (from, to, most) => STEPS.find((step) => (to - from) / step <= most) ?? STEPS.at(-1);

// The moments that it marks.
function ticks(from, to, step) {
  const all = [];
  for (let at = Math.ceil(from / step) * step; at <= to && all.length < 100; at += step) all.push(at);
  return all;
}

// What an axis says at a moment: the time, and the day where one begins and at the beginning.
function tick(ms, first, step) {
  const text = new Date(ms).toISOString();
  const time = text.slice(11, step < MINUTE ? 19 : 16);
  if (step >= DAY) return text.slice(0, 10);
  return first || ms % DAY === 0 ? [time, text.slice(5, 10)] : time;
}
