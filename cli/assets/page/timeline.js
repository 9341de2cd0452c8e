// The timeline: a line for each group, a bar for each time in which rules were missing. Chart.js draws it.

// So many groups are drawn at once: more make a canvas higher than some browsers can have.
const LANES = 30;
const NARROW = 560;
const REACH = 10;

const COLOURS = {
  restored: 'good',
  partial: 'warn',
  failed: 'bad',
  unreadable: 'bad',
  contested: 'fight',
  held: 'held',
  observed: 'held',
};
const colourOf = (story) => COLOURS[story.outcome] ?? 'plain';

// A colour of the style sheet as it is at present, in light or dark.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Stripes in a colour, for what is still open, so that it differs by more than its colour.
function stripes(shade) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 8;
  const pen = tile.getContext('2d');
  pen.strokeStyle = shade;
  pen.lineWidth = 2.5;
  for (const shift of [-8, 0, 8]) {
    pen.beginPath();
    pen.moveTo(shift - 1, 9);
    pen.lineTo(shift + 9, -1);
    pen.stroke();
  }
  return pen.createPattern(tile, 'repeat');
}

// What the mouse points at: the nearest mark in its line, if one is near.
Chart.Interaction.modes.lane = (chart, event) => {
  const at = Chart.helpers.getRelativePosition(event, chart);
  const lane = chart.scales.y.height / Math.max(chart.scales.y.ticks.length, 1) / 2;
  let best = null;
  chart.data.datasets.forEach((_, datasetIndex) =>
    chart.getDatasetMeta(datasetIndex).data.forEach((element, index) => {
      if (Math.abs(element.y - at.y) > lane) return;
      const [from, to] = [
        Math.min(element.base ?? element.x, element.x),
        Math.max(element.base ?? element.x, element.x),
      ];
      const far = Math.max(from - at.x, at.x - to, 0);
      if (far <= REACH && (!best || far <= best.far)) best = { far, item: { element, datasetIndex, index } };
    }),
  );
  return best ? [best.item] : [];
};

class Timeline {
  constructor(now, names, pick) {
    this.now = now;
    this.names = names;
    this.pick = pick;
    this.stories = [];
    this.from = 0;
    this.pointed = null;
    this.box = document.getElementById('chart');
    this.chart = new Chart(document.getElementById('canvas'), this.config());
    this.listen();
  }

  config() {
    return {
      type: 'bar',
      data: { labels: [], datasets: [] },
      options: {
        indexAxis: 'y',
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        locale: 'en',
        interaction: { mode: 'lane', intersect: false },
        plugins: {
          legend: { display: false },
          tooltip: {
            displayColors: false,
            padding: 10,
            caretPadding: 8,
            callbacks: {
              title: ([item]) => item && told(item.raw.story, this.now)[0],
              label: (item) => told(item.raw.story, this.now).slice(1),
            },
          },
        },
        scales: {
          x: {
            type: 'linear',
            position: 'top',
            ticks: {
              autoSkip: false,
              maxRotation: 0,
              callback: (value, index) => tick(value, index === 0, this.spacing),
            },
            afterBuildTicks: (axis) => {
              this.spacing = stepOf(
                axis.min,
                axis.max,
                Math.max((this.box.clientWidth - (this.narrow() ? 0 : 170)) / 100, 2),
              );
              axis.ticks = ticks(axis.min, axis.max, this.spacing).map((value) => ({ value }));
            },
          },
          y: {
            type: 'category',
            ticks: {
              autoSkip: false,
              callback: (value) => shortened(this.names.get(this.lanes()[value]), 28),
            },
            grid: { drawTicks: false },
          },
        },
        onClick: (_, [item]) => {
          if (item && !this.dragged) this.pick(this.chart.data.datasets[item.datasetIndex].data[item.index].story);
        },
        onHover: (event, items) => {
          event.native.target.style.cursor = items.length ? 'pointer' : 'crosshair';
        },
        onResize: () => this.lay(),
      },
    };
  }

  // Draws these incidents. Those that nobody can place, because they have no time, are left to the list.
  show(stories) {
    this.stories = stories.filter((story) => story.time !== null);
    const sizes = new Map();
    for (const story of this.stories) sizes.set(story.group, (sizes.get(story.group) ?? 0) + 1);
    this.groups = [...sizes].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([group]) => group);
    this.from = 0;
    this.pointed = null;
    this.whole();
  }

  // From the first drop to the last end, with a little room.
  whole() {
    let [first, last] = [Infinity, -Infinity];
    for (const story of this.stories) {
      first = Math.min(first, story.time);
      last = Math.max(last, story.open ? this.now : (story.end ?? story.time));
    }
    const room = Math.max((last - first) * 0.03, 5 * SECOND);
    this.limits = first <= last ? [first - room, last + room] : [this.now - HOUR, this.now];
    this.range = this.limits;
    this.draw();
  }

  lanes() {
    return this.groups.slice(this.from, this.from + LANES);
  }

  // The marks of the lanes that are drawn, newest first, and where each is in the chart.
  draw() {
    const lanes = this.lanes();
    const drawn = new Set(lanes);
    // What lies outside is left out, because the least length of a bar would show at the edge.
    const [from, to] = this.range;
    const stories = this.stories.filter(
      (story) => drawn.has(story.group) && story.time <= to && (story.open || (story.end ?? story.time) >= from),
    );
    const shades = Object.fromEntries(
      ['good', 'warn', 'bad', 'fight', 'held', 'plain'].map((name) => [name, colour(name)]),
    );
    const striped = Object.fromEntries(Object.entries(shades).map(([name, shade]) => [name, stripes(shade)]));
    const shade = (story) => shades[colourOf(story)];
    const bars = stories.filter((story) => story.missed);
    const unknown = bars.filter((story) => story.start === null);
    const points = stories.filter((story) => !story.missed);
    const hover = { hoverBorderColor: colour('ink'), hoverBorderWidth: 2.5 };
    this.chart.data.labels = lanes;
    this.chart.data.datasets = [
      {
        type: 'bar',
        order: 2,
        data: bars.map((story) => ({
          x: [story.time, story.end ?? this.now],
          y: story.group,
          story,
        })),
        backgroundColor: bars.map((story) => (story.open ? striped[colourOf(story)] : shade(story))),
        borderColor: bars.map(shade),
        borderWidth: 1,
        borderSkipped: false,
        borderRadius: 2,
        barThickness: 14,
        minBarLength: 5,
        grouped: false,
        ...hover,
      },
      {
        type: 'scatter',
        order: 1,
        data: unknown.map((story) => ({
          x: story.time,
          y: story.group,
          story,
        })),
        pointStyle: 'triangle',
        rotation: -90,
        radius: 8,
        hoverRadius: 9,
        backgroundColor: colour('card'),
        borderColor: unknown.map(shade),
        borderWidth: 2,
        ...hover,
      },
      {
        type: 'scatter',
        order: 1,
        data: points.map((story) => ({ x: story.time, y: story.group, story })),
        pointStyle: points.map((story) => (story.unreadable === null ? 'circle' : 'crossRot')),
        radius: 5,
        hoverRadius: 7,
        backgroundColor: colour('card'),
        borderColor: points.map(shade),
        borderWidth: 2,
        ...hover,
      },
    ];
    this.drawn = stories;
    this.places = new Map();
    this.chart.data.datasets.forEach(({ data }, datasetIndex) =>
      data.forEach(({ story }, index) => {
        this.places.set(story.index, { datasetIndex, index });
      }),
    );
    this.paint();
    this.lay();
    this.tellLanes();
  }

  // The colours of everything but the marks.
  paint() {
    const { scales, plugins } = this.chart.options;
    const [ink, soft, line] = ['ink', 'soft', 'line'].map(colour);
    for (const scale of Object.values(scales)) {
      scale.ticks.color = soft;
      scale.grid.color = line;
      scale.border = { color: line };
    }
    scales.y.ticks.color = ink;
    scales.y.ticks.font = {
      family: 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace',
      size: 12,
    };
    Object.assign(plugins.tooltip, {
      backgroundColor: colour('ink'),
      titleColor: colour('card'),
      bodyColor: colour('card'),
    });
  }

  narrow() {
    return this.box.clientWidth < NARROW;
  }

  // Sizes: on a narrow screen a group's name stands over its bars, so that they have the whole width.
  lay() {
    if (!this.chart || !this.groups) return;
    const narrow = this.narrow();
    const lane = narrow ? 48 : 30;
    const { x, y } = this.chart.options.scales;
    this.box.style.height = `${52 + lane * Math.max(this.lanes().length, 1)}px`;
    Object.assign(y.ticks, {
      mirror: narrow,
      labelOffset: narrow ? -16 : 0,
      padding: narrow ? 0 : 8,
      z: narrow ? 1 : 0,
    });
    Object.assign(x, { min: this.range[0], max: this.range[1] });
    this.chart.update('none');
  }

  zoom(by) {
    const middle = this.pointed ? this.pointed.time : (this.range[0] + this.range[1]) / 2;
    this.see(middle - ((this.range[1] - this.range[0]) / 2) * by, middle + ((this.range[1] - this.range[0]) / 2) * by);
  }

  move(part) {
    const by = (this.range[1] - this.range[0]) * part;
    this.see(this.range[0] + by, this.range[1] + by);
  }

  // Shows a part: a second at least, everything at most.
  see(from, to) {
    const most = this.limits[1] - this.limits[0];
    const span = Math.min(Math.max(to - from, SECOND), most);
    const first = Math.min(Math.max((from + to - span) / 2, this.limits[0]), this.limits[1] - span);
    this.range = [first, first + span];
    this.draw();
  }

  turn(by) {
    this.from = Math.min(Math.max(this.from + by, 0), Math.floor((this.groups.length - 1) / LANES) * LANES);
    this.draw();
  }

  tellLanes() {
    const [first, last, all] = [this.from + 1, Math.min(this.from + LANES, this.groups.length), this.groups.length];
    document.getElementById('lanes').hidden = all <= LANES;
    document.getElementById('lanes-shown').textContent =
      `groups ${first} to ${last} of ${all}, those with most incidents first`;
    document.getElementById('lanes-before').disabled = this.from === 0;
    document.getElementById('lanes-after').disabled = last >= all;
  }

  // Points at an incident as the mouse would, and says what it is.
  point(story) {
    this.pointed = story;
    if (!this.lanes().includes(story.group)) {
      this.from = Math.floor(this.groups.indexOf(story.group) / LANES) * LANES;
      this.draw();
    }
    const [from, to] = this.range;
    if (story.time < from || story.time > to) this.see(story.time - (to - from) / 2, story.time + (to - from) / 2);
    const place = this.places.get(story.index);
    if (!place) return;
    const element = this.chart.getDatasetMeta(place.datasetIndex).data[place.index];
    this.chart.setActiveElements([place]);
    this.chart.tooltip.setActiveElements([place], {
      x: element.x,
      y: element.y,
    });
    this.chart.update('none');
    document.getElementById('pointed').textContent = told(story, this.now).join('; ');
  }

  leave() {
    this.chart.setActiveElements([]);
    this.chart.tooltip.setActiveElements([], { x: 0, y: 0 });
    this.chart.update('none');
  }

  // The next incident in a direction: in time within the group, or the nearest in time of another group.
  step(key) {
    const at = this.pointed;
    if (!at || !this.stories.includes(at)) return this.drawn[0] ?? this.stories[0];
    const lane = this.groups.indexOf(at.group);
    const beside = (group) => this.stories.filter((story) => story.group === group);
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      const line = beside(at.group);
      return line[line.indexOf(at) + (key === 'ArrowLeft' ? 1 : -1)];
    }
    const far = (story) => Math.abs(story.time - at.time);
    return beside(this.groups[lane + (key === 'ArrowUp' ? -1 : 1)]).sort((a, b) => far(a) - far(b))[0];
  }

  listen() {
    this.box.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith('Arrow')) {
        const next = this.step(event.key);
        if (next) this.point(next);
      } else if (event.key === 'Enter' || event.key === ' ') {
        if (this.pointed) this.pick(this.pointed);
      } else if (event.key === '+' || event.key === '=') this.zoom(0.5);
      else if (event.key === '-') this.zoom(2);
      else if (event.key === '0') this.whole();
      else if (event.key === 'Escape') this.leave();
      else return;
      event.preventDefault();
    });
    this.box.addEventListener('blur', () => this.leave());
    this.drag();
  }

  // Zooming by drawing a part with the mouse. A finger scrolls the page, and has the buttons.
  drag() {
    const mark = document.getElementById('selection');
    let began = null;
    const inside = (event) => event.clientX - this.box.getBoundingClientRect().left;
    this.box.addEventListener('pointerdown', (event) => {
      this.dragged = false;
      if (event.pointerType === 'mouse' && event.button === 0) began = inside(event);
    });
    addEventListener('pointermove', (event) => {
      if (began === null) return;
      const at = inside(event);
      mark.hidden = Math.abs(at - began) < 6;
      mark.style.left = `${Math.min(at, began)}px`;
      mark.style.width = `${Math.abs(at - began)}px`;
    });
    addEventListener('pointerup', (event) => {
      // A browser takes the end of it for a click as well, which is not to open what happens to lie there.
      this.dragged = began !== null && !mark.hidden;
      if (this.dragged) {
        const scale = this.chart.scales.x;
        const [from, to] = [began, inside(event)].sort((a, b) => a - b).map((x) => scale.getValueForPixel(x));
        this.see(from, to);
      }
      began = null;
      mark.hidden = true;
    });
  }
}

// An incident in a few lines.
function told(story, now) {
  const lines = [
    `${moment(story.time)} UTC  ${named(story)}`,
    `${story.outcome}${story.unreadable === null ? '' : `: ${story.unreadable}`}`,
  ];
  if (story.unreadable === null)
    lines.push(
      shortened(story.who, 56),
      openText(story, now),
      `${story.rules.length} rule${story.rules.length === 1 ? '' : 's'}`,
    );
  return lines;
}

const shortened = (text, most) =>
  text.length <= most ? text : `${text.slice(0, most / 2 - 1)}…${text.slice(1 - most / 2)}`;

// How long rules were missing, in words.
function openText(story, now) {
  if (!story.missed) return 'nothing was missing';
  const ms = openMs(story, now);
  if (ms === null) return story.open ? 'still open, since nobody knows when' : 'open for an unknown time';
  if (story.open) return `still open, for ${length(ms)}`;
  return `open for ${story.atLatest ? 'at most ' : ''}${length(ms)}`;
}
