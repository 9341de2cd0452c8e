// The list: every incident with all that is known of it. It holds what the timeline shows, for whoever cannot see that.

const PAGE = 100;

// An element with these properties and children. Texts become text, never markup.
function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (key === 'class') made.className = value;
    else if (key.includes('-')) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const badge = (outcome) =>
  element(
    'span',
    {
      class: `badge ${COLOURS[outcome] ?? COLOURS_OF_RULES[outcome] ?? 'plain'}`,
    },
    outcome.replaceAll('_', ' '),
  );
const COLOURS_OF_RULES = { restored_elsewhere: 'good' };

class List {
  constructor(now, actions) {
    this.now = now;
    this.actions = actions;
    this.box = document.getElementById('list');
    this.shown = [];
  }

  show(stories) {
    this.stories = stories;
    this.shown = [];
    this.box.replaceChildren();
    this.more(PAGE);
  }

  // Puts so many more on the page.
  more(count) {
    const next = this.stories.slice(this.shown.length, this.shown.length + count);
    this.box.append(...next.map((story) => this.line(story)));
    this.shown.push(...next);
    const left = this.stories.length - this.shown.length;
    document.getElementById('more-line').hidden = left === 0;
    document.getElementById('more').textContent = `Show ${Math.min(PAGE, left)} more of ${this.stories.length}`;
    document.getElementById('more-all').textContent = 'Show all';
    document.getElementById('more-all').hidden = left <= PAGE;
  }

  line(story) {
    const time = story.time === null ? 'no time' : moment(story.time);
    const summary = element(
      'summary',
      {},
      element('time', story.time === null ? {} : { dateTime: new Date(story.time).toISOString() }, time),
      element(
        'span',
        { class: 'group' },
        story.name === null ? null : `${story.name} `,
        element('code', {}, story.group),
      ),
      badge(story.outcome),
      element('span', { class: 'who' }, story.who),
      element(
        'span',
        { class: `open${story.open ? ' still' : ''}` },
        story.unreadable === null ? openText(story, this.now) : 'cannot be read',
      ),
    );
    const details = element('details', { id: `incident-${story.index}` }, summary);
    // What is inside is made when somebody opens it: of thousands nobody opens most.
    details.addEventListener('toggle', () => this.fill(details, story));
    return element('li', {}, details);
  }

  fill(details, story) {
    if (details.open && details.children.length === 1) details.append(this.body(story));
  }

  body(story) {
    const item = story.item;
    const facts = element('dl', { class: 'facts' });
    const fact = (name, ...values) => {
      if (values.some((value) => !isNothing(value)))
        facts.append(element('dt', {}, name), element('dd', {}, ...values));
    };
    fact('Reason', story.reason);
    fact('Cannot be read', story.unreadable);
    fact('Actor', story.unreadable === null ? story.who : null);
    fact('API call', story.call);
    fact('Open', story.unreadable === null ? this.interval(story) : null, this.closer(story));
    fact(
      'Group',
      visible(`${item.group.account}/${item.group.region}/${item.group.id}`),
      story.name && ` ${story.name}`,
    );
    fact('Generation of the record', isNothing(item.generation) ? null : visible(item.generation));
    fact(
      'Timing',
      pairs(item.timing, (name, value) =>
        name.endsWith('_ms') && count(value) !== undefined
          ? `${name.slice(0, -3).replaceAll('_', ' ')} ${length(value)}`
          : `${name} ${visible(value)}`,
      ),
    );
    fact(
      'Calls by rulekeeper',
      pairs(item.calls, (name, value) => `${name} ${visible(value)}`),
    );
    fact('Key in the table', story.key);
    const body = element(
      'div',
      { class: 'body' },
      rulesTable(story),
      ...['notices', 'warnings', 'reopened', 'pending', 'unrestorable'].map((name) => lines(name, item[name])),
    );
    body.append(
      ...[changes(item.changes), lines('unexpected rules, live and not in the record', item.unexpected)].filter(
        Boolean,
      ),
      facts,
    );
    const rest = remaining(item);
    if (rest) body.append(element('p', { class: 'rest' }, 'Other attributes: ', element('code', {}, rest)));
    if (story.time !== null)
      body.append(
        element('button', { type: 'button', onclick: () => this.actions.point(story) }, 'Show in the timeline'),
      );
    return body;
  }

  interval(story) {
    const text = openText(story, this.now);
    if (!story.missed || story.time === null) return text;
    const from = `${story.start === null ? 'found' : 'from'} ${moment(story.time)}`;
    return `${text} (${from}${story.end === null ? '' : `, ${story.atLatest ? 'back by' : 'back at'} ${moment(story.end)}`})`;
  }

  // The incident that ended this one, if it did not end by itself.
  closer(story) {
    if (!story.endedBy) return null;
    const go = element(
      'button',
      {
        type: 'button',
        class: 'link',
        onclick: () => this.actions.open(story.endedBy),
      },
      `incident of ${moment(story.endedBy.time)}`,
    );
    return element('span', {}, story.atLatest ? '; no longer missing by the ' : '; put back in the ', go);
  }

  // Opens an incident and goes there.
  open(story) {
    const at = this.stories.indexOf(story);
    if (at < 0) return false;
    if (at >= this.shown.length) this.more(Math.ceil((at + 1 - this.shown.length) / PAGE) * PAGE);
    const details = document.getElementById(`incident-${story.index}`);
    details.open = true;
    this.fill(details, story);
    details.firstElementChild.focus();
    details.scrollIntoView({ block: 'start' });
    return true;
  }

  // Opens or closes everything that is on the page.
  all(open) {
    this.shown.forEach((story) => {
      const details = document.getElementById(`incident-${story.index}`);
      details.open = open;
      this.fill(details, story);
    });
  }
}

const title = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function rulesTable(story) {
  if (story.rules.length === 0) return null;
  const cell = (name, label, ...children) =>
    element(name, label ? { 'data-label': label } : { scope: 'col' }, ...children);
  const head = element(
    'thead',
    {},
    element('tr', {}, ...['Rule', 'Outcome', 'Id, code, reason'].map((text) => cell('th', null, text))),
  );
  const rows = story.rules.map((line) =>
    element(
      'tr',
      {},
      cell('td', 'Rule', element('code', {}, line.rule)),
      cell('td', 'Outcome', badge(line.outcome)),
      cell('td', 'Id, code, reason', line.details),
    ),
  );
  return element(
    'table',
    {},
    element('caption', { class: 'unseen' }, 'Dropped rules'),
    head,
    element('tbody', {}, ...rows),
  );
}

function lines(name, value) {
  const all = texts(value);
  if (all.length === 0) return null;
  return element(
    'div',
    { class: `lines ${name.split(' ')[0]}` },
    element('h3', {}, title(name)),
    element('ul', {}, ...all.map((text) => element('li', {}, text))),
  );
}

// Generations that were written on behalf of somebody.
function changes(value) {
  const told = (Array.isArray(value) ? value : isNothing(value) ? [] : [value]).map((change) => {
    const { generation, author, reason, added, removed } = attributes(change);
    if (isNothing(generation)) return change;
    const rules = [...texts(added).map((rule) => `+ ${rule}`), ...texts(removed).map((rule) => `− ${rule}`)];
    return `generation ${visible(generation)} by ${visible(author ?? 'somebody unknown')}: ${visible(reason ?? '')}; ${rules.join(', ')}`;
  });
  return lines('changes of the record', told);
}

function pairs(value, told) {
  const all = Object.entries(attributes(value)).map(([name, amount]) => told(visible(name), amount));
  return all.length ? all.join(', ') : isNothing(value) || value === attributes(value) ? null : visible(value);
}

// What an item has beside what is shown above. Nothing is left out, only set small.
const SHOWN = new Set([
  'group',
  'name',
  'key',
  'unreadable',
  'trigger',
  'outcome',
  'reason',
  'generation',
  'rules',
  'unexpected',
  'warnings',
  'changes',
  'notices',
  'reopened',
  'pending',
  'unrestorable',
  'timing',
  'calls',
  'drift_open_ms',
]);
const TRIGGER = new Set(['kind', 'event_name', 'principal']);

function remaining(item) {
  const rest = Object.entries(item).filter(([name]) => !SHOWN.has(name));
  const trigger = Object.entries(attributes(item.trigger)).filter(([name]) => !TRIGGER.has(name));
  const all = [...trigger.map(([name, value]) => [`trigger.${name}`, value]), ...rest];
  return all.map(([name, value]) => `${visible(name)} ${visible(value)}`).join(', ');
}
