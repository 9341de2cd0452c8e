// The page: reads the data, and keeps filters, address, numbers, timeline and list in step.

const FILTERS = ['group', 'outcome', 'actor', 'text'];
const data = (id) => JSON.parse(byId(id).textContent);

const about = data('about');
const now = Date.parse(about.written);
const found = data('incidents');
const open = listOf(found.open).map(readOpen);
// Without a look at EC2 the list of what is open says no more than the incidents themselves.
const checked = Array.isArray(found.open) && found.open_checked !== false;
const missing = checked ? new Set(open.map((one) => openKey(one, one.rule))) : null;
const stories = readAll(listOf(found.items), missing);
const byTime = (a, b) => (b.time ?? -Infinity) - (a.time ?? -Infinity) || 0;
const everything = [...stories, ...listOf(found.changes).map(readChange)].sort(byTime);

const list = new List(now, { open: reveal, point, link: (story) => address({ incident: keyOf(story) }) });
const timeline = new Timeline(now, { open: reveal, within });
const times = { from: '', until: '' };
let shown = { stories: [], open: [], entries: [] };

const keyOf = (story) => `${story.address} ${story.key}`;
const numberOf = (number) => number.toLocaleString('en');

function head() {
  const since = timeOf(about.since);
  const scope = [about.account, about.region].filter(Boolean).join('/');
  byId('period').replaceChildren(
    element('code', {}, scope),
    `${since === null ? '' : ` · ${moment(since)} to ${moment(now)} UTC`} · ${plural(about.groups, 'group')} looked at`,
  );
  byId('footer').textContent =
    `Written ${moment(now)} UTC by rulekeeper ${about.version}. All times are UTC. ` +
    'This file holds all of it and needs no network.';
  const state = open.length ? `${plural(open.length, 'rule')} missing` : 'no rule missing';
  document.title = `${state} · rulekeeper incidents, ${about.region ?? scope}, ${dayOf(since ?? now)} to ${dayOf(now)}`;
}

// The incident behind a missing rule, as far as it is in this file.
function opener(one) {
  const story = stories.find((story) => story.address === one.address && story.key === one.key);
  return story && (() => reveal(story));
}

function tellNow() {
  const [reopened, unrestorable] = [listOf(found.reopened), listOf(found.unrestorable)];
  tellOpen({ open, checked, now, opener, quiet: reopened.length + unrestorable.length === 0 });
  tellReopened(reopened);
  tellUnrestorable(unrestorable);
  if (everything.length > 0) return;
  byId('history').hidden = true;
  byId('now-when').append(
    ` There was no incident and no change of a record${about.since ? ` since ${moment(Date.parse(about.since))} UTC` : ''}.`,
  );
}

// Choices of a filter, each with how many it would show.
function choices(id, all, groups) {
  const made = ([value, text, number]) =>
    new Option(`${text.length > 64 ? `${text.slice(0, 63)}…` : text} (${number})`, value);
  const options = groups
    .filter(([, of]) => of.length)
    .map(([label, of]) => element('optgroup', { label }, ...of.map(made)));
  byId(id).replaceChildren(new Option(all, ''), ...options);
}

// How often each key occurs, with its label, by label. Where two keys have one label, the key itself is shown.
function counted(items, keyOf, labelOf) {
  const labels = new Map(items.map((item) => [keyOf(item), labelOf(item)]));
  const shared = new Set(
    tally(labels.values())
      .filter(([, number]) => number > 1)
      .map(([label]) => label),
  );
  return tally(items.map(keyOf))
    .map(([key, number]) => [key, shared.has(labels.get(key)) ? key : labels.get(key), number])
    .sort(([, a], [, b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
}

function fillFilters() {
  const changes = everything.filter(({ type }) => type === 'change');
  const outcomes = (of, names) => tally(names).map(([name, number]) => [`${of}:${name}`, spaced(name), number]);
  const still = stories.filter((story) => story.open).length;
  choices('group', 'All groups', [['Group', counted(everything, (story) => story.address, named)]]);
  choices('actor', 'All callers', [
    [
      'Caller',
      counted(
        everything,
        (story) => story.who,
        (story) => story.short,
      ),
    ],
  ]);
  choices('outcome', 'Everything', [
    ['Now', [['open', 'still open', still]]],
    [
      'Of the incident',
      outcomes(
        'group',
        stories.map((story) => story.outcome),
      ),
    ],
    [
      'Of any of its rules',
      outcomes(
        'rules',
        stories.flatMap((story) => distinct(story.own.map((line) => line.outcome))),
      ),
    ],
    [
      'Changes of records',
      [
        ...(changes.length ? [['change', 'all changes', changes.length]] : []),
        ...outcomes(
          'change',
          changes.map((change) => change.what),
        ),
      ],
    ],
  ]);
}

function tile(name, value, note, kind) {
  return element(
    'div',
    { class: `tile ${kind ?? ''}` },
    element('dt', {}, name),
    element('dd', {}, value, note ? element('small', {}, note) : null),
  );
}

// What is asked for, in words, so that a printed page says what it leaves out.
function asked() {
  const parts = FILTERS.filter((id) => byId(id).value).map((id) => {
    const box = byId(id);
    const value = box.selectedOptions ? box.selectedOptions[0].text.replace(/ \(\d+\)$/, '') : visible(box.value);
    return `${byId(id).labels[0].textContent.toLowerCase()} ${value}`;
  });
  if (times.from) parts.push(`from ${moment(timeOf(times.from))}`);
  if (times.until) parts.push(`until ${moment(timeOf(times.until))}`);
  return parts.join(', ');
}

const lasted = (ms) => (ms === undefined ? '–' : length(ms));

function tell(numbers, incidents) {
  const rule = (name) => numbers.rules[name] ?? 0;
  const back = rule('restored') + rule('restored_elsewhere');
  const elsewhere = rule('restored_elsewhere') ? `${numberOf(rule('restored_elsewhere'))} of them by others` : null;
  const openGroups = distinct(shown.open.map((one) => one.address)).length;
  const not = ['failed', 'contested', 'held'].filter(rule).map((name) => `${numberOf(rule(name))} ${name}`);
  byId('tiles').replaceChildren(
    tile(
      'Still open',
      plural(shown.open.length, 'rule'),
      shown.open.length ? `in ${plural(openGroups, 'group')}` : null,
      shown.open.length ? 'bad' : 'good',
    ),
    tile('Incidents', numberOf(numbers.incidents), `in ${plural(numbers.groups, 'group')}`),
    tile('Rules dropped', numberOf(numbers.dropped), not.length ? `not back at once: ${not.join(', ')}` : null),
    tile('Rules back', numberOf(back), elsewhere, 'good'),
    tile('Median until back', lasted(numbers.median), `of ${plural(numbers.timed, 'incident')} that ended`),
    tile('Longest', lasted(numbers.longest), numbers.timed ? `99 % within ${lasted(numbers.p99)}` : null),
  );
  const callers = numbers.actors.slice(0, 6).map(([who, { short, number }]) =>
    element(
      'li',
      {},
      button(short, () => choose(who), { class: 'link', title: `Show only: ${who}` }),
      element('span', { class: 'number' }, plural(number, 'incident')),
    ),
  );
  byId('actors').replaceChildren(...callers);
  const changes = shown.stories.length - incidents.length;
  const what = `${incidents.length === stories.length ? '' : `${numberOf(incidents.length)} of `}${plural(stories.length, 'incident')}${changes ? ` and ${plural(changes, 'change')}` : ''}`;
  byId('shown').textContent = asked() ? `${what}: ${asked()}` : what;
  const inUse = FILTERS.filter((id) => byId(id).value).length;
  byId('filters-title').textContent = inUse ? `Filters (${inUse} in use)` : 'Filters';
}

const wanted = () => ({ ...Object.fromEntries(FILTERS.map((id) => [id, byId(id).value])), ...times });

function show() {
  const fits = filter(wanted());
  const current = everything.filter(fits);
  const incidents = current.filter(({ type }) => type === 'incident');
  shown = { stories: current, open: open.filter(fits), entries: entriesOf(current), numbers: summary(incidents) };
  tell(shown.numbers, incidents);
  timeline.show(current, open, [timeOf(times.from), timeOf(times.until)]);
  list.show(shown.entries);
}

// The address of this page with what is asked for, so that a link shows the same again.
function address(more) {
  const asked = Object.entries({ ...(more ? {} : wanted()), ...more }).filter(([, value]) => value);
  return `${location.href.split('#')[0]}#${new URLSearchParams(asked)}`;
}

function changed() {
  history.replaceState(null, '', address());
  show();
}

// Shows what the address asks for.
function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const id of FILTERS) {
    byId(id).value = asked.get(id) ?? '';
    if (byId(id).selectedIndex === -1) byId(id).value = '';
  }
  for (const name of Object.keys(times)) times[name] = timeOf(asked.get(name)) === null ? '' : asked.get(name);
  show();
  const story = asked.has('incident') && stories.find((story) => keyOf(story) === asked.get('incident'));
  if (story) reveal(story);
}

function lift() {
  for (const id of FILTERS) byId(id).value = '';
  Object.assign(times, { from: '', until: '' });
}

function within(from, until) {
  const text = (time) => (time === null ? '' : new Date(Math.round(time)).toISOString());
  Object.assign(times, { from: text(from), until: text(until) });
  changed();
}

function choose(who) {
  byId('actor').value = who;
  changed();
}

// Opens an incident in the list, also one that the filters leave out: then they are lifted.
function reveal(story) {
  if (list.open(story)) return;
  lift();
  changed();
  list.open(story);
}

function point(story) {
  byId('chart').focus({ preventScroll: true });
  byId('timeline').scrollIntoView({ block: 'start' });
  timeline.point(story);
}

function summaryText() {
  const { incidents, groups, dropped, median, longest, timed } = shown.numbers;
  const ended = timed ? `; median until back ${lasted(median)}, longest ${lasted(longest)}` : '';
  return `${plural(incidents, 'incident')} in ${plural(groups, 'group')}, ${plural(dropped, 'rule')} dropped${ended}.`;
}

function legend() {
  const signs = new Set(everything.map(signOf));
  const outcomes = new Set(stories.map(colourOf));
  const entries = [
    ['good', 'restored', null, outcomes.has('good')],
    ['warn', 'partial', null, outcomes.has('warn')],
    ['bad', 'failed', null, outcomes.has('bad')],
    ['fight', 'contested', null, outcomes.has('fight')],
    ['held', 'held or observed', null, outcomes.has('held')],
    ['plain', 'other', null, outcomes.has('plain')],
    ['still', 'still open', null, stories.some((story) => story.open)],
    ['sign', 'found later, start unknown', '◁'],
    ['sign', 'nothing was missing', '○'],
    ['sign', 'cannot be read', '×'],
    ['sign', 'left alone for a while: contested', '⚑'],
    ...Object.entries(SIGNS).map(([what, sign]) => [
      'sign',
      what === 'by_principal' ? 'changed by a listed principal' : spaced(what),
      sign,
    ]),
  ];
  byId('legend').append(
    ...entries
      .filter(([, , sign, used]) => (sign ? signs.has(sign) : used))
      .map(([kind, text, sign]) =>
        element('li', {}, element('span', { class: `mark ${kind}`, 'aria-hidden': 'true' }, sign), text),
      ),
  );
}

function listen() {
  byId('form').addEventListener('submit', (event) => event.preventDefault());
  byId('form').addEventListener('reset', (event) => {
    event.preventDefault();
    lift();
    changed();
  });
  for (const id of ['group', 'outcome', 'actor']) byId(id).addEventListener('change', changed);
  let waiting;
  byId('text').addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(changed, 150);
  });
  const name = `rulekeeper-incidents-${dayOf(now)}`;
  const buttons = {
    'copy-link': () => copy(address(), 'the link to what is shown'),
    'copy-markdown': () =>
      copy(
        markdown({
          title: document.title,
          asked: asked(),
          open: shown.open,
          numbers: summaryText(),
          entries: shown.entries,
          now,
        }),
        'what is shown, as Markdown',
      ),
    csv: () => download(`${name}.csv`, 'text/csv', csv(shown.stories.filter(({ type }) => type === 'incident'))),
    print: () => print(),
    earlier: () => timeline.move(-0.5),
    later: () => timeline.move(0.5),
    in: () => timeline.zoom(0.5),
    out: () => timeline.zoom(2),
    all: () => within(null, null),
    'lanes-before': () => timeline.turn(-LANES),
    'lanes-after': () => timeline.turn(LANES),
    'open-all': () => list.all(true),
    'close-all': () => list.all(false),
    more: () => list.more(PAGE),
    'more-all': () => list.more(Infinity),
    skip: (event) => {
      event.preventDefault();
      byId('list').focus();
    },
  };
  for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener('click', act);
  addEventListener('hashchange', fromAddress);
  let resizing;
  addEventListener('resize', () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => timeline.draw(), 150);
  });
  const narrow = matchMedia('(max-width: 700px)');
  const fold = () => {
    byId('filters').open = !narrow.matches;
  };
  narrow.addEventListener('change', fold);
  fold();
}

head();
tellNow();
fillFilters();
legend();
listen();
fromAddress();
