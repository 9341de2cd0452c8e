// What the incidents come to: from what until when rules were missing, and what the numbers are. Nothing here knows of
// the page. People write items too, so of each attribute that the program does not check any form is expected.

const MISSING = new Set(['failed', 'held', 'contested']);
const BACK = new Set(['restored', 'restored_elsewhere']);

// A value as one line of text. Characters that steer are spelled out, as on the terminal: control characters, and those
// that would show a text in another order than it has.
function visible(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

const isNothing = (value) => value === undefined || value === null;

// The texts of an attribute that should be a list of them.
function texts(value) {
  if (isNothing(value)) return [];
  return (Array.isArray(value) ? value : [value]).map(visible);
}

// The attributes of what should be a map.
const attributes = (value) => (value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {});

const count = (value) => (Number.isFinite(value) && value >= 0 ? value : undefined);

// The time in an incident's key, or null when somebody else made the key.
function timeOf(key) {
  const text = key.split('#')[0];
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(time) ? null : time;
}

// One incident, read. `start` is null when nobody knows since when rules were missing; `end` is null while they are.
function read(item, index) {
  const trigger = attributes(item.trigger);
  const time = timeOf(item.key);
  const story = {
    index,
    item,
    time,
    group: item.group.id,
    name: isNothing(item.name) ? null : visible(item.name),
    key: visible(item.key),
    unreadable: isNothing(item.unreadable) ? null : visible(item.unreadable),
    kind: visible(trigger.kind ?? ''),
    call: isNothing(trigger.event_name) ? null : visible(trigger.event_name),
    outcome: 'unreadable',
    rules: [],
    reason: null,
    endedBy: null,
    atLatest: false,
    start: null,
    end: null,
    missed: false,
    open: false,
  };
  story.who = actor(story, trigger);
  if (story.unreadable !== null) return Object.assign(story, { words: words(story) });
  story.outcome = visible(item.outcome);
  story.reason = isNothing(item.reason) ? null : visible(item.reason);
  story.rules = item.rules.map((line) => ({
    rule: visible(line.rule),
    outcome: visible(line.outcome),
    details: [line.rule_id, line.error_code, line.reason]
      .filter((text) => !isNothing(text))
      .map(visible)
      .join(': '),
  }));
  // Of a group that is gone nothing is missing any more.
  const left = story.outcome === 'orphaned' ? [] : story.rules.filter((line) => MISSING.has(line.outcome));
  story.left = new Set(left.map((line) => line.rule));
  story.missed = story.rules.some((line) => MISSING.has(line.outcome) || BACK.has(line.outcome));
  story.start = story.kind === 'event' && story.missed ? time : null;
  story.words = words(story);
  return story;
}

function actor(story, trigger) {
  if (story.unreadable !== null) return 'not known';
  if (story.kind === 'sweep') return 'found by a sweep';
  if (story.kind === 'watch') return 'found by the watch';
  const who = isNothing(trigger.principal) ? null : visible(trigger.principal);
  if (story.kind === 'operator') return `found by ${who ?? 'an operator'}`;
  return who ?? 'somebody unknown';
}

// A group as people know it: its name, and the id behind it.
const named = ({ name, group }) => (name === null ? group : `${name} (${group})`);

// What stands for each group where there is little room: its name, unless other groups have the same.
function shortNames(stories) {
  const names = new Map(stories.map(({ group, name }) => [group, name]));
  const known = [...names.values()];
  const alone = (name) => known.indexOf(name) === known.lastIndexOf(name);
  return new Map(
    [...names].map(([group, name]) => [group, name !== null && alone(name) ? name : named({ name, group })]),
  );
}

// All that is said in an item, names of attributes included, as it is shown.
function said(value) {
  if (value === null || typeof value !== 'object') return [visible(value ?? '')];
  return Array.isArray(value)
    ? value.flatMap(said)
    : Object.entries(value).flatMap(([name, inner]) => [visible(name), ...said(inner)]);
}

const words = (story) => [story.who, ...said(story.item)].join('\n').toLowerCase();

// When the rules were back that came back while this incident was handled.
function backAt(story) {
  const timing = attributes(story.item.timing);
  const open = count(story.item.drift_open_ms);
  if (open !== undefined) return story.time + open;
  const age = story.kind === 'event' ? (count(timing.event_age_ms) ?? 0) : 0;
  return story.time + age + (count(timing.restored_ms) ?? count(timing.total_ms) ?? 0);
}

// Every incident with its interval, in the order of the document, which is newest first.
//
// Whoever handles a drop looks at the whole group and lists every rule that is missing. So a rule that one incident left
// missing was back, or meant to be gone, by the next incident of the group that does not list it as missing.
function readAll(items) {
  const stories = items.map(read);
  const next = new Map();
  for (const story of stories) {
    if (story.unreadable !== null || story.time === null) continue;
    const group = `${story.item.group.account}/${story.item.group.region}/${story.group}`;
    settle(story, next.get(group));
    next.set(group, story);
  }
  return stories;
}

// Works out when an incident ended, from the next one of its group.
function settle(story, later) {
  story.closers = new Map();
  for (const rule of story.left) {
    story.closers.set(rule, later?.left.has(rule) ? later.closers.get(rule) : (later ?? null));
  }
  story.open = [...story.closers.values()].includes(null);
  if (!story.missed || story.open) return;
  story.end = backAt(story);
  for (const [rule, closer] of story.closers) {
    const end = Math.max(backAt(closer), story.time);
    if (end < story.end) continue;
    Object.assign(story, { end, endedBy: closer });
    story.atLatest = !closer.rules.some((line) => line.rule === rule && line.outcome === 'restored');
  }
}

// How long rules were missing, up to now for those that still are; null when nobody knows since when.
const openMs = (story, now) => (story.start === null ? null : Math.max((story.end ?? now) - story.start, 0));

// The smallest value that so many of the values, of 1, do not exceed.
const quantile = (sorted, part) => sorted[Math.max(Math.ceil(part * sorted.length), 1) - 1];

// The numbers of some incidents.
function summary(stories, now) {
  const rules = {};
  const actors = new Map();
  for (const story of stories) {
    for (const line of story.rules) rules[line.outcome] = (rules[line.outcome] ?? 0) + 1;
    actors.set(story.who, (actors.get(story.who) ?? 0) + 1);
  }
  const timed = stories.filter((story) => story.start !== null);
  const lengths = timed.map((story) => openMs(story, now)).sort((a, b) => a - b);
  return {
    incidents: stories.length,
    groups: new Set(stories.map((story) => story.group)).size,
    open: stories.filter((story) => story.open).length,
    rules,
    timed: lengths.length,
    median: quantile(lengths, 0.5),
    p99: quantile(lengths, 0.99),
    longest: lengths.at(-1),
    longestIsOpen: timed.some((story) => story.open && openMs(story, now) === lengths.at(-1)),
    actors: [...actors].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)),
  };
}

// A test for the incidents that are asked for. An empty text asks for nothing.
function filter({ group, outcome, actor: who, text }) {
  const wanted = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  return (story) =>
    (!group || story.group === group) &&
    (!who || story.who === who) &&
    (!outcome || matches(story, outcome)) &&
    wanted.every((word) => story.words.includes(word));
}

function matches(story, outcome) {
  if (outcome === 'open') return story.open;
  const [of, name] = [outcome.slice(0, 6), outcome.slice(6)];
  return of === 'group:' ? story.outcome === name : story.rules.some((line) => line.outcome === name);
}
