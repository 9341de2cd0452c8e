// The page: reads the data, and keeps filters, numbers, timeline and list in step.

const FILTERS = ['group', 'outcome', 'actor', 'text'];
const byId = (id) => document.getElementById(id);
const data = (id) => JSON.parse(byId(id).textContent);

const about = data('about');
const now = Date.parse(about.written);
const found = data('incidents');
const stories = readAll(found.incidents);
const list = new List(now, {
  open: (story) => open(story),
  point: (story) => point(story),
});
const timeline = new Timeline(now, shortNames(stories), (story) => open(story));

const plural = (number, noun) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

function head() {
  const since = Date.parse(about.since);
  byId('period').replaceChildren(
    element('code', {}, `${about.account}/${about.region}`),
    ` · ${moment(since)} to ${moment(now)} UTC · ${plural(about.groups, 'group')} looked at`,
  );
  byId('footer').textContent =
    `Written ${moment(now)} UTC by rulekeeper ${about.version}. What is still open is known up to then. ` +
    'This file holds all of it and needs no network.';
  document.title = `rulekeeper incidents, ${about.region}, ${dayOf(since)} to ${dayOf(now)}`;
}

// What a person has to close, before all else. It is so now, whatever time the incidents are of.
function tellReopened() {
  const groups = found.reopened ?? [];
  byId('reopened').hidden = groups.length === 0;
  byId('reopened-list').append(
    ...groups.flatMap(({ group, name, rules }) =>
      rules.map(({ rule, by, at, close }) =>
        element(
          'li',
          {},
          element('code', {}, visible(rule)),
          ' in ',
          groupName(group, name),
          `: ${visible(by)} closed it at ${visible(at)}. Close it: `,
          element('code', { class: 'command' }, visible(close)),
        ),
      ),
    ),
  );
}

// What a person can see to before it is needed. It is so now too.
function tellUnrestorable() {
  const groups = found.unrestorable ?? [];
  byId('unrestorable').hidden = groups.length === 0;
  byId('unrestorable-list').append(
    ...groups.flatMap(({ group, name, rules }) =>
      rules.map((rule) => element('li', {}, element('code', {}, visible(rule)), ' in ', groupName(group, name))),
    ),
  );
}

function groupName(group, name) {
  return element('strong', {}, visible(isNothing(name) ? group.id : `${name} (${group.id})`));
}

// Choices of a filter, each with how many incidents it would show.
function choices(id, all, groups) {
  const box = byId(id);
  box.replaceChildren(new Option(all, ''));
  for (const [label, options] of groups) {
    const made = options.map(([value, text, number]) => new Option(`${shortened(text, 64)} (${number})`, value));
    box.append(...(label ? [element('optgroup', { label }, ...made)] : made));
  }
}

const tally = (names) => {
  const numbers = new Map();
  for (const name of names) numbers.set(name, (numbers.get(name) ?? 0) + 1);
  return [...numbers].sort(([a], [b]) => (a < b ? -1 : 1));
};

function fillFilters() {
  const groups = new Map(stories.map((story) => [named(story), story.group]));
  const spaced = (name) => name.replaceAll('_', ' ');
  choices('group', 'All groups', [
    [null, tally(stories.map(named)).map(([name, number]) => [groups.get(name), name, number])],
  ]);
  choices('actor', 'All actors', [
    [null, tally(stories.map((story) => story.who)).map(([name, number]) => [name, name, number])],
  ]);
  const rules = stories.flatMap((story) => [...new Set(story.rules.map((line) => line.outcome))]);
  choices('outcome', 'All outcomes', [
    ['Now', [['open', 'still open', stories.filter((story) => story.open).length]]],
    [
      'Of the group',
      tally(stories.map((story) => story.outcome)).map(([name, number]) => [`group:${name}`, spaced(name), number]),
    ],
    ['Of any of its rules', tally(rules).map(([name, number]) => [`rules:${name}`, spaced(name), number])],
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
    return `${id} ${value}`;
  });
  return parts.length ? `: ${parts.join(', ')}` : '';
}

function tell(numbers) {
  const rule = (name) => (numbers.rules[name] ?? 0).toLocaleString('en');
  const lasted = (ms) => (ms === undefined ? '–' : length(ms));
  const elsewhere = numbers.rules.restored_elsewhere ?? 0;
  byId('tiles').replaceChildren(
    tile('Incidents', numbers.incidents.toLocaleString('en'), `in ${plural(numbers.groups, 'group')}`),
    tile('Still open', numbers.open.toLocaleString('en'), 'as far as is known', numbers.open ? 'bad' : ''),
    tile('Median open time', lasted(numbers.median), `of ${plural(numbers.timed, 'incident')} with a known start`),
    tile('99th percentile', lasted(numbers.p99)),
    tile('Longest', lasted(numbers.longest), numbers.longestIsOpen ? 'still open' : null),
    tile('Rules restored', rule('restored'), elsewhere ? `and ${elsewhere} by others` : null, 'good'),
    tile('Rules failed', rule('failed'), null, 'bad'),
    tile('Rules contested', rule('contested'), null, 'fight'),
    tile('Rules held', rule('held'), null, 'held'),
  );
  byId('actors').replaceChildren(
    ...numbers.actors.slice(0, 5).map(([who, number]) =>
      element(
        'li',
        {},
        element(
          'button',
          {
            type: 'button',
            class: 'link',
            title: `Show only: ${who}`,
            onclick: () => choose(who),
          },
          who,
        ),
        element('span', { class: 'number' }, plural(number, 'incident')),
      ),
    ),
  );
  byId('shown').textContent =
    numbers.incidents === stories.length
      ? stories.length
        ? `All ${plural(stories.length, 'incident')}`
        : 'No incidents in this time'
      : `${numbers.incidents.toLocaleString('en')} of ${plural(stories.length, 'incident')}${asked()}`;
}

function show() {
  const wanted = Object.fromEntries(FILTERS.map((id) => [id, byId(id).value]));
  const current = stories.filter(filter(wanted));
  tell(summary(current, now));
  timeline.show(current);
  list.show(current);
}

function choose(who) {
  byId('actor').value = who;
  show();
  byId('actor').focus();
}

// Opens an incident in the list, also one that the filters leave out: then they are lifted.
function open(story) {
  if (list.open(story)) return;
  for (const id of FILTERS) byId(id).value = '';
  show();
  list.open(story);
}

function point(story) {
  byId('chart').focus({ preventScroll: true });
  byId('chart').scrollIntoView({ block: 'center' });
  timeline.point(story);
}

function legend() {
  const entries = [
    ['good', 'restored'],
    ['warn', 'partial'],
    ['bad', 'failed'],
    ['fight', 'contested'],
    ['held', 'held or observed'],
    ['plain', 'other'],
    ['open', 'still open, up to the moment of writing'],
    ['sign', 'found by a sweep or an operator, start unknown', '◁'],
    ['sign', 'nothing was missing', '○'],
    ['sign', 'cannot be read', '×'],
  ];
  byId('legend').append(
    ...entries.map(([kind, text, sign]) =>
      element('li', {}, element('span', { class: `mark ${kind}`, 'aria-hidden': 'true' }, sign), text),
    ),
  );
}

// The list as it goes on paper: light, and everything that is shown open.
function onPaper(printing) {
  document.documentElement.toggleAttribute('data-paper', printing);
  if (printing) {
    onPaper.closed = list.shown.filter((story) => !byId(`incident-${story.index}`).open);
    list.all(true);
  } else {
    (onPaper.closed ?? []).forEach((story) => {
      byId(`incident-${story.index}`).open = false;
    });
  }
  timeline.draw();
}

function listen() {
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  byId('filters').addEventListener('reset', () => setTimeout(show));
  for (const id of ['group', 'outcome', 'actor']) byId(id).addEventListener('change', show);
  let waiting;
  byId('text').addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 150);
  });
  const buttons = {
    earlier: () => timeline.move(-0.5),
    later: () => timeline.move(0.5),
    in: () => timeline.zoom(0.5),
    out: () => timeline.zoom(2),
    all: () => timeline.whole(),
    'lanes-before': () => timeline.turn(-LANES),
    'lanes-after': () => timeline.turn(LANES),
    'open-all': () => list.all(true),
    'close-all': () => list.all(false),
    more: () => list.more(PAGE),
    'more-all': () => list.more(Infinity),
  };
  for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener('click', act);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => timeline.draw());
  addEventListener('beforeprint', () => onPaper(true));
  addEventListener('afterprint', () => onPaper(false));
}

head();
tellReopened();
tellUnrestorable();
fillFilters();
legend();
listen();
show();
