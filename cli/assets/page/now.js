// What is so now, before all else: rules that are missing, rules that a person has to close, rules that could not come
// back.

const LINES_MOST = 8;

function groupName({ name, group }) {
  const id = name === null ? [] : [' ', element('code', {}, group)];
  return element('span', { class: 'name' }, element('strong', {}, name ?? group), ...id);
}

const person = (story) => element('span', { class: 'person', title: story.who }, story.short);

function sinceText(time, now) {
  return time === null ? 'since an unknown time' : `since ${moment(time)} (${length(Math.max(now - time, 0))})`;
}

// One missing rule.
function openLine(one, now, open) {
  const why = one.reason === null ? '' : `: ${one.reason}`;
  return element(
    'li',
    { class: 'alarm bad' },
    element('p', { class: 'what' }, element('code', { class: 'rule' }, one.rule), ' missing in ', groupName(one)),
    element(
      'p',
      { class: 'why' },
      badge(one.outcome),
      ` ${sinceText(one.time, now)}${why}. Dropped by `,
      person(one),
      '. ',
      open ? button('Its incident', open, { class: 'link' }) : '',
    ),
    one.command === null ? '' : command(one.command),
  );
}

// The missing rules of a group, in one line that unfolds.
function openGroup(rules, now, opener) {
  const [first] = rules;
  const times = rules.map(({ time }) => time).filter((time) => time !== null);
  const commands = distinct(rules.map((one) => one.command).filter((text) => text !== null));
  const shared = commands.length === 1;
  const { first: names, more } = some(
    rules.map(({ rule }) => rule),
    2,
  );
  const details = element(
    'details',
    {},
    element(
      'summary',
      { class: 'what' },
      `${plural(rules.length, 'rule')} missing in `,
      groupName(first),
      ` ${sinceText(times.length ? Math.min(...times) : null, now)}: `,
      element('code', { class: 'rule' }, names.join(', ')),
      more && ` ${more}`,
    ),
  );
  details.addEventListener('toggle', () => {
    if (details.open && details.children.length === 1)
      details.append(
        element(
          'ul',
          { class: 'alarms' },
          ...rules.map((one) => openLine(shared ? { ...one, command: null } : one, now, opener(one))),
        ),
      );
  });
  return element('li', { class: 'alarm bad' }, details, shared ? command(commands[0]) : '');
}

// Lines in a list, those beyond the first ones behind a line that unfolds.
function folded(lines, most, noun) {
  if (lines.length <= most) return lines;
  const rest = element(
    'details',
    {},
    element('summary', {}, `${plural(lines.length - most, noun)} more`),
    element('ul', { class: 'alarms' }, ...lines.slice(most)),
  );
  return [...lines.slice(0, most), element('li', {}, rest)];
}

// The state in a sentence, and a line for each missing rule, or for each group where they are many.
function tellOpen({ open, checked, now, opener, quiet }) {
  const groups = grouped(open);
  const lines =
    open.length <= LINES_MOST
      ? open.map((one) => openLine(one, now, opener(one)))
      : groups.map((rules) =>
          rules.length === 1 ? openLine(rules[0], now, opener(rules[0])) : openGroup(rules, now, opener),
        );
  const doubt = checked ? '' : ' EC2 could not be read: this is what the incidents said last.';
  const well = open.length === 0 && checked && quiet;
  byId('now').className = open.length ? 'bad' : well ? 'good' : 'warn';
  byId('now-title').textContent = open.length
    ? `${plural(open.length, 'rule')} missing now, in ${plural(groups.length, 'group')}`
    : well
      ? 'All is well: no rule is missing'
      : checked
        ? 'No rule is missing'
        : 'No rule is known to be missing';
  byId('now-when').textContent = `As of ${moment(now)} UTC.${doubt}`;
  byId('open-list').replaceChildren(...folded(lines, LINES_MOST, 'line'));
}

function grouped(open) {
  const groups = new Map();
  for (const one of open) groups.set(one.address, [...(groups.get(one.address) ?? []), one]);
  return [...groups.values()];
}

// What a person has to close.
function tellReopened(groups) {
  const lines = groups.flatMap((item) =>
    listOf(item.rules).map(({ rule, by, at, close }) =>
      element(
        'li',
        { class: 'alarm bad' },
        element(
          'p',
          { class: 'what' },
          element('code', { class: 'rule' }, visible(rule)),
          ' open in ',
          groupName(whose(item)),
        ),
        element(
          'p',
          { class: 'why' },
          'Closed by ',
          person(caller(by, null, 'somebody unknown')),
          ` at ${moment(timeOf(at) ?? 0)}`,
          ', then put back.',
        ),
        command(visible(close)),
      ),
    ),
  );
  byId('reopened').hidden = lines.length === 0;
  byId('reopened-list').append(...folded(lines, LINES_MOST, 'line'));
}

// What a person can see to before it is needed.
function tellUnrestorable(groups) {
  const lines = groups.flatMap((item) =>
    texts(item.rules).map((rule) =>
      element('li', { class: 'alarm warn' }, element('code', { class: 'rule' }, rule), ' in ', groupName(whose(item))),
    ),
  );
  byId('unrestorable').hidden = lines.length === 0;
  byId('unrestorable-list').append(...folded(lines, LINES_MOST, 'line'));
}
