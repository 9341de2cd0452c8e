// The timeline: a line for each group, a bar for each time in which rules were missing, a sign for each thing that was
// done. Places are in per cent of the width, so that nothing is drawn again when the window changes.

// So many groups are drawn at once.
const LANES = 30;

const COLOURS = {
  restored: 'good',
  restored_elsewhere: 'good',
  partial: 'warn',
  failed: 'bad',
  missing: 'bad',
  unreadable: 'bad',
  contested: 'fight',
  held: 'held',
  observed: 'held',
};
const colourOf = (story) => COLOURS[story.outcome] ?? 'plain';

const SIGNS = {
  pinned: '◆',
  changed: '◇',
  by_principal: '▣',
  paused: '‖',
  resumed: '▷',
  released: '▽',
  rolled_back: '↺',
};

// The sign of what has no length; null for what is a bar alone.
function signOf(story) {
  if (story.type === 'change') return SIGNS[story.what] ?? '◇';
  if (story.unreadable !== null) return '×';
  if (story.outcome === 'contested') return '⚑';
  if (!story.missed) return '○';
  return story.start === null ? '◁' : null;
}

// An incident or a change in a line.
function pointedText(story, now) {
  const when = `${moment(story.time)} UTC · ${named(story)}`;
  if (story.type === 'change')
    return `${when} · ${spaced(story.what)} by ${story.short}${story.reason ? `: ${story.reason}` : ''}`;
  if (story.unreadable !== null) return `${when} · unreadable: ${story.unreadable}`;
  const { first, more } = some(
    story.own.map(({ rule }) => rule),
    2,
  );
  return `${when} · ${spaced(story.outcome)} · ${first.join(', ')} ${more} · ${story.short} · ${openText(story, now)}`;
}

class Timeline {
  constructor(now, actions) {
    this.now = now;
    this.actions = actions;
    this.stories = [];
    this.from = 0;
    this.marks = new Map();
    this.box = byId('chart');
    this.listen();
  }

  // Draws these. Those that nobody can place, because they have no time, are left to the list.
  show(stories, open, range) {
    this.stories = stories.filter((story) => story.time !== null);
    const missing = new Set(open.map(({ address }) => address));
    const lanes = new Map();
    for (const story of this.stories) {
      const lane = lanes.get(story.address) ?? { story, number: 0, missing: missing.has(story.address) };
      lane.number += 1;
      lanes.set(story.address, lane);
    }
    this.lanes = [...lanes.values()].sort(
      (a, b) => b.missing - a.missing || b.number - a.number || (a.story.address < b.story.address ? -1 : 1),
    );
    this.from = 0;
    this.pointed = null;
    this.range = this.rangeOf(range);
    this.draw();
  }

  // From the first drop to the last end, with a little room, as far as nothing else is asked for.
  rangeOf([from, until]) {
    let [first, last] = [Infinity, -Infinity];
    for (const story of this.stories) {
      first = Math.min(first, story.time);
      last = Math.max(last, this.endOf(story));
    }
    if (first > last) [first, last] = [this.now - HOUR, this.now];
    const room = Math.max((last - first) * 0.02, 5 * SECOND);
    return [from ?? first - room, Math.max(until ?? last + room, (from ?? first - room) + SECOND)];
  }

  endOf(story) {
    return story.open ? this.now : (story.end ?? story.time);
  }

  place(time) {
    const [from, until] = this.range;
    return Math.min(Math.max(((time - from) / (until - from)) * 100, -5), 105);
  }

  // The lines that are shown, and the marks in them.
  draw() {
    const shown = this.lanes.slice(this.from, this.from + LANES);
    const [from, until] = this.range;
    const wide = this.box.clientWidth || 800;
    const step = stepOf(from, until, Math.max((wide - (wide < 700 ? 0 : 190)) / 110, 2));
    const at = ticks(from, until, step).map((time) => ({ time, x: `${this.place(time).toFixed(3)}%` }));
    const axis = drawn('svg', { class: 'axis' });
    at.forEach(({ time, x }, index) => {
      const [hour, day] = [tick(time, index === 0, step)].flat();
      axis.append(drawn('text', { x, y: 12 }, hour));
      if (day) axis.append(drawn('text', { x, y: 26, class: 'day' }, day));
    });
    this.marks.clear();
    const byLane = new Map(shown.map(({ story }) => [story.address, []]));
    for (const story of this.stories) byLane.get(story.address)?.push(story);
    const lanes = shown.map(({ story, missing }) => this.lane(story, missing, byLane.get(story.address), at));
    byId('lines').replaceChildren(element('div', { class: 'lane' }, element('span', {}), axis), ...lanes);
    this.tellLanes();
  }

  lane(of, missing, stories, at) {
    const track = drawn(
      'svg',
      { class: 'track' },
      ...at.map(({ x }) => drawn('line', { x1: x, x2: x, y1: 0, y2: '100%' })),
    );
    // Oldest first, so that the newest lies on top; signs over bars.
    const signs = [];
    for (const story of [...stories].reverse()) {
      const sign = signOf(story);
      if (story.type === 'incident' && story.start !== null) track.append(this.mark(story, this.bar(story)));
      if (sign)
        signs.push(
          this.mark(
            story,
            drawn(
              'text',
              { x: `${this.place(story.time).toFixed(3)}%`, y: 18, class: `sign ${colourOf(story)}` },
              sign,
            ),
          ),
        );
    }
    track.append(...signs);
    const label = element(
      'span',
      { class: `label${missing ? ' missing' : ''}`, title: named(of) },
      of.name ?? of.group,
    );
    return element('div', { class: 'lane' }, label, track);
  }

  bar(story) {
    const [x, end] = [this.place(story.time), this.place(this.endOf(story))];
    return drawn('rect', {
      x: `${x.toFixed(3)}%`,
      width: `${Math.max(end - x, 0.02).toFixed(3)}%`,
      y: 6,
      height: 12,
      class: `span ${colourOf(story)}${story.open ? ' still' : ''}`,
    });
  }

  mark(story, made) {
    this.marks.set(made, story);
    return made;
  }

  tellLanes() {
    const [first, last, all] = [this.from + 1, Math.min(this.from + LANES, this.lanes.length), this.lanes.length];
    byId('lanes').hidden = all <= LANES;
    byId('lanes-shown').textContent =
      `groups ${first} to ${last} of ${all}, those with missing rules and with most incidents first`;
    byId('lanes-before').disabled = this.from === 0;
    byId('lanes-after').disabled = last >= all;
  }

  turn(by) {
    this.from = Math.min(Math.max(this.from + by, 0), Math.floor((this.lanes.length - 1) / LANES) * LANES);
    this.draw();
  }

  // Asks for a part of the time: a second at least.
  see(from, until) {
    const span = Math.max(until - from, SECOND);
    this.actions.within((from + until - span) / 2, (from + until + span) / 2);
  }

  zoom(by) {
    const [from, until] = this.range;
    const middle = this.pointed ? this.pointed.time : (from + until) / 2;
    this.see(middle - ((until - from) / 2) * by, middle + ((until - from) / 2) * by);
  }

  move(part) {
    const by = (this.range[1] - this.range[0]) * part;
    this.see(this.range[0] + by, this.range[1] + by);
  }

  // Points at an incident, and says what it is.
  point(story) {
    const lane = this.lanes.findIndex((one) => one.story.address === story.address);
    if (lane < 0) return;
    if (lane < this.from || lane >= this.from + LANES) {
      this.from = Math.floor(lane / LANES) * LANES;
      this.draw();
    }
    this.pointed = story;
    for (const [mark, of] of this.marks) mark.classList.toggle('pointed', of === story);
    byId('pointed').textContent = pointedText(story, this.now);
    byId('pointed').hidden = false;
  }

  leave() {
    for (const mark of this.marks.keys()) mark.classList.remove('pointed');
    byId('pointed').hidden = true;
  }

  // The next one in a direction: in time within the group, or the nearest in time of another group.
  step(key) {
    const at = this.pointed;
    if (!at || !this.stories.includes(at))
      return this.stories.find((story) => story.address === this.lanes[this.from]?.story.address);
    const beside = (address) => this.stories.filter((story) => story.address === address);
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      const line = beside(at.address);
      return line[line.indexOf(at) + (key === 'ArrowLeft' ? 1 : -1)];
    }
    const lane = this.lanes.findIndex((one) => one.story.address === at.address);
    const far = (story) => Math.abs(story.time - at.time);
    return beside(this.lanes[lane + (key === 'ArrowUp' ? -1 : 1)]?.story.address).sort((a, b) => far(a) - far(b))[0];
  }

  listen() {
    this.box.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith('Arrow')) {
        const next = this.step(event.key);
        if (next) this.point(next);
      } else if (event.key === 'Enter' || event.key === ' ') {
        if (this.pointed) this.actions.open(this.pointed);
      } else if (event.key === '+' || event.key === '=') this.zoom(0.5);
      else if (event.key === '-') this.zoom(2);
      else if (event.key === '0') this.actions.within(null, null);
      else if (event.key === 'Escape') this.leave();
      else return;
      event.preventDefault();
    });
    this.box.addEventListener('blur', () => this.leave());
    this.box.addEventListener('pointerover', (event) => {
      const story = this.marks.get(event.target);
      if (story) this.point(story);
    });
    this.box.addEventListener('pointerleave', () => this.leave());
    this.box.addEventListener('click', (event) => {
      const story = this.marks.get(event.target);
      if (story && !this.dragged) this.actions.open(story);
    });
    this.drag();
  }

  // Choosing a part by drawing it with the mouse. A finger scrolls the page, and has the buttons.
  drag() {
    const mark = byId('selection');
    let began = null;
    this.box.addEventListener('pointerdown', (event) => {
      this.dragged = false;
      if (event.pointerType === 'mouse' && event.button === 0) began = event.clientX;
    });
    addEventListener('pointermove', (event) => {
      if (began === null) return;
      const left = this.box.getBoundingClientRect().left;
      mark.hidden = Math.abs(event.clientX - began) < 6;
      mark.style.left = `${Math.min(event.clientX, began) - left}px`;
      mark.style.width = `${Math.abs(event.clientX - began)}px`;
    });
    addEventListener('pointerup', (event) => {
      // A browser takes the end of it for a click as well, which is not to open what happens to lie there.
      this.dragged = began !== null && !mark.hidden;
      if (this.dragged) {
        const axis = this.box.querySelector('.axis').getBoundingClientRect();
        const part = (x) => this.range[0] + ((x - axis.left) / axis.width) * (this.range[1] - this.range[0]);
        this.see(part(Math.min(began, event.clientX)), part(Math.max(began, event.clientX)));
      }
      began = null;
      mark.hidden = true;
    });
  }
}
