// What belongs together is one entry: a storm, a fight, or one change of many records.

const FIGHT_LEAST = 3;

// Puts what is listed, newest first, into entries. Each is listed where its newest part stands.
function entriesOf(stories) {
  const entries = new Map();
  const together = (kind, parts) => {
    const entry = { kind, stories: parts, time: parts[0].time };
    parts.forEach((story) => entries.set(story, entry));
  };
  const timed = stories.filter((story) => story.time !== null);
  const events = timed.filter((story) => story.kind === 'event' && story.unreadable === null);
  for (const chain of chains(events, (story) => `${story.address} ${story.who}`, again))
    if (chain.length >= FIGHT_LEAST) together('fight', chain);
  const rest = events.filter((story) => !entries.has(story));
  const changes = timed.filter((story) => story.type === 'change');
  const found = [
    ...chains(rest, (story) => story.who, atOnce),
    ...chains(changes, (one) => `${one.what} ${one.who}`, atOnce),
  ];
  for (const chain of found) if (chain.length > 1) together(chain[0].type === 'change' ? 'changes' : 'storm', chain);
  return [
    ...new Set(stories.map((story) => entries.get(story) ?? { kind: 'one', stories: [story], time: story.time })),
  ];
}

// Runs of what has the same key, each as long as the next one belongs to the run.
function chains(stories, keyOf, belongs) {
  const all = [];
  const last = new Map();
  for (const story of stories) {
    const key = keyOf(story);
    const chain = last.get(key);
    if (chain && belongs(chain, story)) chain.push(story);
    else {
      last.set(key, [story]);
      all.push(last.get(key));
    }
  }
  return all;
}

// The same rule, taken again within the hour after it had come back or had been left alone.
function again(chain, older) {
  const newer = chain.at(-1);
  if (newer.time - older.time > HOUR) return false;
  const taken = new Set(newer.own.map((line) => line.rule));
  return older.own.some((line) => taken.has(line.rule) && (BACK.has(line.outcome) || line.outcome === 'contested'));
}

// Within a minute.
const atOnce = (chain, older) => chain[0].time - older.time <= MINUTE;

const plural = (number, noun) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

const distinct = (values) => [...new Set(values)];
const spaced = (name) => name.replaceAll('_', ' ');

// The first rules of a list, and how many more there are.
function some(rules, most) {
  const more = rules.length - most;
  return { first: rules.slice(0, most), more: more > 0 ? `+${more}` : '' };
}

// What an entry's line says.
function told(entry, now) {
  const { kind, stories } = entry;
  const [first] = stories;
  const groups = distinct(stories.map(({ address }) => address));
  const rules = distinct(stories.flatMap(({ own }) => own.map(({ rule }) => rule)));
  const line = {
    group:
      groups.length === 1
        ? { name: first.name, group: first.group }
        : { name: plural(groups.length, 'group'), group: '' },
    rules,
    short: first.short,
    who: first.who,
    note: '',
    outcomes: tally(stories.map(({ outcome }) => outcome)),
    open: '',
  };
  if (first.type === 'change') {
    const generation = first.generation && kind === 'one' ? `generation ${first.generation}` : null;
    const note = [generation, first.reason].filter(Boolean).join(': ');
    return { ...line, rules: stories.length === 1 ? first.changed : [], note };
  }
  const lengths = stories.map((story) => openMs(story, now)).filter((ms) => ms !== null);
  const still = stories.filter((story) => story.open).length;
  if (kind === 'one') line.open = openText(first, now);
  else if (still > 0) line.open = `${still} still open`;
  else if (lengths.length)
    line.open =
      kind === 'fight'
        ? `${length(lengths.reduce((a, b) => a + b, 0))} in all`
        : `up to ${length(Math.max(...lengths))}`;
  line.still = still > 0;
  if (first.unreadable) line.note = first.unreadable;
  else if (rules.length === 0 && first.rules.length > 0)
    line.note = `${plural(first.rules.length, 'rule')} missing for another reason`;
  if (kind === 'fight') line.note = `fight, ${stories.length} times in ${length(first.time - stories.at(-1).time)}`;
  if (kind === 'storm')
    line.note = `storm, ${plural(stories.length, 'call')}, ${plural(stories.flatMap(({ own }) => own).length, 'rule')}`;
  return line;
}

const tally = (names) => {
  const numbers = new Map();
  for (const name of names) numbers.set(name, (numbers.get(name) ?? 0) + 1);
  return [...numbers].sort(([a], [b]) => (a < b ? -1 : 1));
};
