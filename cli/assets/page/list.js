// The list: every entry with all that is known of it. It holds what the timeline shows, for people who cannot see that.

const PAGE = 100;

const badge = (outcome, number) =>
  element(
    'span',
    { class: `badge ${COLOURS[outcome] ?? 'plain'}` },
    `${spaced(outcome)}${number > 1 ? ` ×${number}` : ''}`,
  );

class List {
  constructor(now, actions) {
    this.now = now;
    this.actions = actions;
    this.box = byId('list');
    this.shown = 0;
  }

  show(entries) {
    this.entries = entries;
    this.shown = 0;
    this.day = null;
    this.lines = new Map();
    this.box.replaceChildren();
    this.more(PAGE);
  }

  // Puts so many more on the page, each day under its date.
  more(most) {
    const next = this.entries.slice(this.shown, this.shown + most);
    for (const entry of next) {
      const day = entry.time === null ? 'Without a time' : dayOf(entry.time);
      if (day !== this.day) this.box.append(element('li', { class: 'day' }, element('h3', {}, day)));
      this.day = day;
      this.box.append(element('li', { class: 'entry' }, this.line(entry)));
    }
    this.shown += next.length;
    const left = this.entries.length - this.shown;
    byId('more-line').hidden = left === 0;
    byId('more').textContent = `Show ${Math.min(PAGE, left)} more of ${this.entries.length.toLocaleString('en')}`;
    byId('more-all').hidden = left <= PAGE;
  }

  // An entry's line. What is inside is made when somebody opens it: of thousands nobody opens most.
  line(entry) {
    const says = told(entry, this.now);
    const { first, more } = some(says.rules, 2);
    const time = entry.time === null ? '–' : moment(entry.time).slice(11);
    const summary = element(
      'summary',
      { class: 'line' },
      element('time', entry.time === null ? {} : { dateTime: new Date(entry.time).toISOString() }, time),
      element(
        'span',
        { class: says.group.name === null ? 'group id' : 'group', title: says.group.group },
        says.group.name ?? says.group.group,
      ),
      element(
        'span',
        { class: 'rules' },
        ...first.map((rule) => element('code', { class: 'rule' }, rule)),
        more && element('span', { class: 'rest', title: says.rules.slice(2, 40).join('\n') }, more),
        // On paper there is room for one rule.
        says.rules.length > 1 ? element('span', { class: 'rest paper' }, `+${says.rules.length - 1}`) : '',
        says.note && element('span', { class: 'note' }, says.note),
      ),
      element('span', { class: 'who', title: says.who }, says.short),
      element('span', { class: 'badges' }, ...says.outcomes.map(([name, number]) => badge(name, number))),
      element('span', { class: `open${says.still ? ' still' : ''}` }, says.open),
    );
    const details = element('details', { class: entry.kind }, summary);
    details.addEventListener('toggle', () => details.open && this.fill(details, entry));
    entry.stories.forEach((story) => this.lines.set(story, { details, entry }));
    return details;
  }

  fill(details, entry) {
    if (details.children.length > 1) return;
    const [first] = entry.stories;
    if (entry.kind === 'one') details.append(first.type === 'change' ? changeBody(first) : this.body(first));
    else {
      // The parts of a storm or a fight are lines of their own.
      const parts = entry.stories.map((story) =>
        element('li', { class: 'entry' }, this.line({ kind: 'one', stories: [story], time: story.time })),
      );
      details.append(element('ol', { class: 'parts' }, ...parts));
    }
  }

  body(story) {
    const trigger = attributes(story.item.trigger);
    const link = trailLink(story);
    const own = rulesTable(story.own, 'Dropped rules');
    const earlier = rulesTable(
      story.rules.filter((line) => line.before !== null),
      'Missing before',
    );
    const lists = ['notices', 'warnings', 'reopened', 'pending', 'unrestorable'].map((name) =>
      lines(name, story.item[name]),
    );
    return element(
      'div',
      { class: 'body' },
      story.reason && element('p', { class: 'reason' }, `${title(spaced(story.outcome))}: ${story.reason}`),
      own,
      earlier,
      ...lists,
      lines('unexpected rules, live and not in the record', story.item.unexpected),
      facts([
        ['Cannot be read', story.unreadable],
        ['Group', `${visible(story.item.group.account)}/${story.region}/${story.group}`, story.name],
        ['Missing', this.interval(story), this.closer(story)],
        ['API call', story.call],
        ['Caller', story.principal ?? story.who],
        ['Session', story.session],
        ['Source address', textOf(trigger.source_ip)],
        ['User agent', textOf(trigger.user_agent)],
        ['Access key id', textOf(trigger.access_key_id)],
        [
          'Event',
          link
            ? element(
                'a',
                { href: link, target: '_blank', rel: 'noopener noreferrer' },
                `${trigger.event_id} in CloudTrail`,
              )
            : textOf(trigger.event_id),
        ],
        ['Generation of the record', textOf(story.item.generation)],
      ]),
      element(
        'p',
        { class: 'tools' },
        story.time === null ? '' : button('Show in the timeline', () => this.actions.point(story)),
        button('Copy as Markdown', () => copy(incidentMarkdown(story, this.now), 'this incident as Markdown')),
        button('Copy link', () => copy(this.actions.link(story), 'the link to this incident')),
      ),
      raw(story.item),
    );
  }

  interval(story) {
    if (story.unreadable !== null) return null;
    if (story.time === null || !story.missed) return openText(story, this.now);
    const from = story.start === null ? `found at ${moment(story.time)}` : `from ${moment(story.time)}`;
    const end =
      story.end === null
        ? story.open
          ? ''
          : ', end unknown'
        : ` ${story.atLatest ? 'until at the latest' : 'until'} ${moment(story.end)}`;
    return `${from}${end} (${openText(story, this.now)})`;
  }

  // The incident that ended this one, if it did not end by itself.
  closer(story) {
    if (!story.endedBy) return null;
    const go = button(`incident of ${moment(story.endedBy.time)}`, () => this.actions.open(story.endedBy), {
      class: 'link',
    });
    return element('span', {}, story.atLatest ? '; no longer missing by the ' : '; put back in the ', go);
  }

  // Opens an incident and goes there, through the storm or fight that it is part of.
  open(story) {
    const at = this.entries.findIndex(({ stories }) => stories.includes(story));
    if (at < 0) return false;
    if (at >= this.shown) this.more(Math.ceil((at + 1 - this.shown) / PAGE) * PAGE);
    let line;
    do {
      line = this.lines.get(story);
      this.fill(line.details, line.entry);
    } while (this.lines.get(story) !== line);
    const { details } = line;
    for (let up = details; up; up = up.parentElement.closest('details')) up.open = true;
    details.firstElementChild.focus();
    details.scrollIntoView({ block: 'start' });
    return true;
  }

  // Opens or closes everything that is on the page.
  all(open) {
    for (const details of this.box.querySelectorAll(':scope > li > details')) details.open = open;
  }
}

const title = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function rulesTable(rules, caption) {
  if (rules.length === 0) return null;
  const columns =
    rules[0].before === null ? ['Rule', 'Outcome', 'Id, code, reason'] : ['Rule', 'Outcome', 'Dropped by'];
  const cells = ({ rule, outcome, details, before: by }) => [
    element('code', {}, rule),
    badge(outcome),
    by === null ? details : [by, details].filter(Boolean).join('; '),
  ];
  const rows = rules.map((line) =>
    element('tr', {}, ...cells(line).map((value, at) => element('td', { 'data-label': columns[at] }, value))),
  );
  return element(
    'table',
    {},
    element('caption', {}, caption),
    element('thead', {}, element('tr', {}, ...columns.map((text) => element('th', { scope: 'col' }, text)))),
    element('tbody', {}, ...rows),
  );
}

function lines(name, value) {
  const all = texts(value);
  if (all.length === 0) return null;
  const items = all.map((text) => element('li', {}, text));
  return element(
    'div',
    { class: `lines ${name.split(' ')[0]}` },
    element('h4', {}, title(name)),
    element('ul', {}, ...items),
  );
}

// Names with values, those without a value left out.
function facts(all) {
  const told = all.filter(([, value]) => !isNothing(value));
  return element(
    'dl',
    { class: 'facts' },
    ...told.flatMap(([name, ...values]) => [
      element('dt', {}, name),
      element('dd', {}, ...values.flatMap((value, at) => (at && typeof value === 'string' ? [' ', value] : [value]))),
    ]),
  );
}

// A generation of the record.
const changeBody = (change) =>
  element(
    'div',
    { class: 'body' },
    lines('rules', change.changed),
    facts([
      ['Group', `${visible(change.item.group?.account ?? '')}/${change.region}/${change.group}`, change.name],
      ['What', spaced(change.what)],
      ['By', change.principal ?? change.who],
      ['Session', change.session],
      ['Reason', change.reason],
      ['Generation of the record', change.generation],
    ]),
    raw(change.item),
  );

// All that the document holds of an item, as it is written there.
function raw(item) {
  const text = JSON.stringify(item, null, 2).split('\n').map(visible).join('\n');
  return element('details', { class: 'raw' }, element('summary', {}, 'Raw'), element('pre', { tabIndex: 0 }, text));
}
