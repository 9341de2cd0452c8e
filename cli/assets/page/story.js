// What the document says: incidents, changes of records, and what is open. Nothing here knows of the page. People write
// items too, so of each attribute that the program does not check any form is expected.

const MISSING = new Set(['failed', 'held', 'contested']);
const BACK = new Set(['restored', 'restored_elsewhere']);

// A value as one line of text. Characters that steer are spelled out, as on the terminal: control characters, and those
// that would show a text in another order than it has.
function visible(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

const isNothing = (value) => value === undefined || value === null;
const textOf = (value) => (isNothing(value) ? null : visible(value));

// The texts of an attribute that should be a list of them.
function texts(value) {
  if (isNothing(value)) return [];
  return (Array.isArray(value) ? value : [value]).map(visible);
}

// The attributes of what should be a map, and the items of what should be a list.
const attributes = (value) => (value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {});
const listOf = (value) => (Array.isArray(value) ? value : []);

const count = (value) => (Number.isFinite(value) && value >= 0 ? value : undefined);

// A time such as 2026-11-22T09:30:00Z in milliseconds, or null.
function timeOf(text) {
  const fits = typeof text === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text);
  const time = fits ? Date.parse(text) : NaN;
  return Number.isNaN(time) ? null : time;
}

// Which group an item is about.
function whose(item) {
  const { account, region, id } = attributes(item.group);
  const group = visible(id ?? '');
  const name = isNothing(item.name) || item.name === id ? null : visible(item.name);
  return { group, name, region: visible(region ?? ''), address: [account, region, id].map(textOf).join('/') };
}

// A group as people know it: its name, and the id behind it.
const named = ({ name, group }) => (name === null ? group : `${name} (${group})`);

// A caller in a few words: the role or user without its path, and the session behind it.
function shortName(principal, session) {
  const [arn, , , , , ...rest] = principal.split(':');
  if (arn !== 'arn' || rest.length === 0) return session === null ? principal : `${principal} / ${session}`;
  const path = rest.join(':').split('/');
  const assumed = path[0] === 'assumed-role';
  const role = (assumed ? path[1] : path.at(-1)) || principal;
  const name = role.replace(/^AWSReservedSSO_(.+)_[0-9a-f]{16}$/, '$1');
  const of = session ?? (assumed && path.length > 2 ? path.slice(2).join('/') : null);
  return of === null ? name : `${name} / ${of}`;
}

// Who did something: `who` tells one caller from another, `short` is for reading.
function caller(principal, session, nobody) {
  if (isNothing(principal)) return { who: nobody, short: nobody, principal: null, session: textOf(session) };
  const [full, of] = [visible(principal), textOf(session)];
  return { who: of === null ? full : `${full} / ${of}`, short: shortName(full, of), principal: full, session: of };
}

function finder(trigger, unreadable) {
  const { kind, principal, session } = trigger;
  if (unreadable !== null) return caller(null, null, 'not known');
  if (kind === 'sweep' || kind === 'watch')
    return caller(null, null, `found by ${kind === 'sweep' ? 'a' : 'the'} ${kind}`);
  if (kind !== 'operator') return caller(principal, session, 'somebody unknown');
  const { who, short, ...rest } = caller(principal, session, 'an operator');
  return { who: `found by ${who}`, short: `found by ${short}`, ...rest };
}

// Who took a rule before the incident; null if the incident's own call did, or if it does not say, as in older versions.
function earlier(by, kind) {
  if (isNothing(by) || by === 'this_event' || (by === 'unknown' && kind !== 'event')) return null;
  const { principal, session, at } = attributes(by);
  const time = timeOf(at);
  return `${caller(principal, session, 'nobody knows by whom').short}${time === null ? '' : ` at ${moment(time)}`}`;
}

// A rule in an incident. What was missing before an event's call, and what anything else left missing that an earlier call
// took, is not of this incident: it counts where it was dropped.
function readLine(line, kind) {
  const [outcome, by] = [visible(line.outcome ?? ''), earlier(line.dropped_by, kind)];
  const before = kind === 'event' || MISSING.has(outcome) ? by : null;
  const told = [line.rule_id, line.error_code, line.reason].filter((text) => !isNothing(text)).map(visible);
  if (by !== null && before === null) told.push(`dropped by ${by}`);
  return { rule: visible(line.rule ?? ''), outcome, by, before, details: told.join(': ') };
}

// One incident, read. `start` is null when nobody knows since when rules were missing; `end` is null while they are, and
// when nobody knows the end.
function read(item, index) {
  const trigger = attributes(item.trigger);
  const unreadable = textOf(item.unreadable);
  const time = timeOf(String(item.key).split('#')[0]);
  const story = {
    type: 'incident',
    index,
    item,
    time,
    ...whose(item),
    ...finder(trigger, unreadable),
    key: visible(item.key),
    unreadable,
    kind: visible(trigger.kind ?? ''),
    call: textOf(trigger.event_name),
    outcome: unreadable === null ? visible(item.outcome ?? '') : 'unreadable',
    reason: textOf(item.reason),
    rules: [],
    endedBy: null,
    atLatest: false,
    start: null,
    end: null,
  };
  const lines = unreadable === null ? listOf(item.rules) : [];
  story.rules = lines.map((line) => readLine(attributes(line), story.kind));
  story.own = story.rules.filter((line) => line.before === null);
  // Of a group that is gone nothing is missing any more.
  const left = story.outcome === 'orphaned' ? [] : story.rules.filter((line) => MISSING.has(line.outcome));
  story.left = new Set(left.map((line) => line.rule));
  story.missed = story.own.some((line) => MISSING.has(line.outcome) || BACK.has(line.outcome));
  story.start = story.kind === 'event' && story.missed ? time : null;
  return story;
}

// A generation of a record.
function readChange(item, index) {
  const what = visible(item.what ?? 'changed');
  const rules = [...texts(item.added).map((rule) => `+ ${rule}`), ...texts(item.removed).map((rule) => `− ${rule}`)];
  return {
    type: 'change',
    index,
    item,
    time: timeOf(item.at),
    ...whose(item),
    ...caller(item.by, item.session, 'somebody unknown'),
    what,
    outcome: what,
    generation: textOf(item.generation),
    reason: textOf(item.reason),
    changed: rules,
    rules: [],
    own: [],
  };
}

// A rule that is missing now.
const readOpen = (item) => ({
  type: 'open',
  item,
  time: timeOf(item.since),
  ...whose(item),
  ...caller(item.principal, item.session, 'nobody knows by whom'),
  rule: visible(item.rule ?? ''),
  outcome: visible(item.state ?? 'missing'),
  reason: textOf(item.reason),
  key: textOf(item.key),
  command: textOf(item.command),
});

// All that is said in an item, names of attributes included, as it is shown.
function said(value) {
  if (value === null || typeof value !== 'object') return [visible(value ?? '')];
  return Array.isArray(value)
    ? value.flatMap(said)
    : Object.entries(value).flatMap(([name, inner]) => [visible(name), ...said(inner)]);
}

const wordsOf = (story) => (story.words ??= [story.who, story.short, ...said(story.item)].join('\n').toLowerCase());

// When the rules were back that came back while this incident was handled.
function backAt(story) {
  const { restored_at: at, open_ms: open, timing } = story.item;
  if (count(open) !== undefined) return story.time + open;
  if (timeOf(at) !== null) return timeOf(at);
  const { event_age_ms: age, restored_ms: restored, total_ms: total } = attributes(timing);
  return story.time + (story.kind === 'event' ? (count(age) ?? 0) : 0) + (count(restored) ?? count(total) ?? 0);
}

const openKey = ({ address }, rule) => `${address} ${rule}`;

// Every incident with its interval, in the order of the document, which is newest first.
//
// The function that handles a drop looks at the whole group and lists every rule that is missing. So a rule that one
// incident left missing was back, or meant to be gone, by the next incident of the group that does not list it as missing.
// `missing` holds what is missing now; without it the last incident of a group counts.
function readAll(items, missing) {
  const stories = items.map(read);
  const next = new Map();
  for (const story of stories) {
    if (story.unreadable !== null || story.time === null) continue;
    settle(story, next.get(story.address), missing);
    next.set(story.address, story);
  }
  return stories;
}

// Works out when an incident ended, from the next one of its group.
function settle(story, later, missing) {
  story.closers = new Map();
  for (const rule of story.left)
    story.closers.set(rule, later?.left.has(rule) ? later.closers.get(rule) : (later ?? null));
  const closers = story.own
    .filter((line) => story.left.has(line.rule))
    .map((line) => [line.rule, story.closers.get(line.rule)]);
  const unclosed = closers.filter(([, closer]) => closer === null);
  story.open = unclosed.some(([rule]) => !missing || missing.has(openKey(story, rule)));
  if (!story.missed || unclosed.length > 0) return;
  story.end = backAt(story);
  for (const [rule, closer] of closers) {
    const end = Math.max(backAt(closer), story.time);
    if (end < story.end) continue;
    Object.assign(story, { end, endedBy: closer });
    story.atLatest = !closer.rules.some((line) => line.rule === rule && line.outcome === 'restored');
  }
}

// How long rules were missing, up to now for those that still are; null when nobody knows.
function openMs(story, now) {
  const end = story.open ? now : story.end;
  return story.start === null || end === null ? null : Math.max(end - story.start, 0);
}

// How long rules were missing, in words.
function openText(story, now) {
  if (story.unreadable !== null) return '';
  if (!story.missed) return 'nothing missing';
  const ms = openMs(story, now);
  if (story.open) return ms === null ? 'still open' : `still open, ${length(ms)}`;
  if (ms === null) return story.end === null ? 'end unknown' : 'since unknown';
  return `${story.atLatest ? 'at most ' : ''}${length(ms)}`;
}

// The smallest value that so many of the values, of 1, do not exceed.
const quantile = (sorted, part) => sorted[Math.max(Math.ceil(part * sorted.length), 1) - 1];

// The numbers of some incidents. How long it took is counted of those whose rules came back: what is still open has no
// length yet, and what left the record never came back.
function summary(stories) {
  const rules = {};
  const actors = new Map();
  for (const story of stories) {
    for (const line of story.own) rules[line.outcome] = (rules[line.outcome] ?? 0) + 1;
    const known = actors.get(story.who) ?? { short: story.short, number: 0 };
    actors.set(story.who, { ...known, number: known.number + 1 });
  }
  const back = stories.filter((story) => story.start !== null && story.end !== null && !story.atLatest);
  const lengths = back.map((story) => story.end - story.start).sort((a, b) => a - b);
  return {
    incidents: stories.length,
    groups: new Set(stories.map((story) => story.address)).size,
    rules,
    dropped: stories.flatMap(({ own }) => own).filter(({ by }) => by === null).length,
    timed: lengths.length,
    median: quantile(lengths, 0.5),
    p99: quantile(lengths, 0.99),
    longest: lengths.at(-1),
    actors: [...actors].sort(([a, m], [b, n]) => n.number - m.number || (a < b ? -1 : 1)),
  };
}

// A test for what is asked for. An empty text asks for nothing.
function filter({ group, outcome, actor, text, from, until }) {
  const wanted = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const [first, last] = [timeOf(from), timeOf(until)];
  const within = (story) =>
    (first === null || (story.time !== null && (story.open ? Infinity : (story.end ?? story.time)) >= first)) &&
    (last === null || (story.time !== null && story.time <= last));
  return (story) =>
    (!group || story.address === group) &&
    (!actor || story.who === actor) &&
    (!outcome || matches(story, outcome)) &&
    (story.type === 'open' || within(story)) &&
    wanted.every((word) => wordsOf(story).includes(word));
}

function matches(story, asked) {
  const [of, name] = asked.split(':');
  if (story.type === 'open') return true;
  if (story.type === 'change') return of === 'change' && (name === undefined || story.what === name);
  if (of === 'open') return story.open === true;
  return of === 'group' ? story.outcome === name : story.own.some((line) => line.outcome === name);
}
