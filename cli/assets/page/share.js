// What leaves the page: Markdown, CSV, and links to CloudTrail.

const MARKDOWN_ENTRIES = 50;

// A text that Markdown shows as it is, but for pipes, which only a table takes for more.
const plain = (text) => text.replace(/[\\`*_[\]<>#~&]/g, '\\$&');

// A text as code. A code span in backticks ends at as many backticks as it began with.
function code(text) {
  const runs = (text.match(/`+/g) ?? []).map((run) => run.length);
  const fence = '`'.repeat(Math.max(0, ...runs) + 1);
  const room = text.startsWith('`') || text.endsWith('`') ? ' ' : '';
  return `${fence}${room}${text}${room}${fence}`;
}

const group = (story) => `${story.name === null ? '' : `${plain(story.name)} `}${code(story.group)}`;

function openMarkdown(open, now) {
  return open.map((one) => {
    const since =
      one.time === null
        ? 'since an unknown time'
        : `since ${moment(one.time)} UTC (${length(Math.max(now - one.time, 0))})`;
    const why = one.reason === null ? spaced(one.outcome) : `${spaced(one.outcome)}: ${one.reason}`;
    return `- ${code(one.rule)} of ${group(one)}, ${since}, dropped by ${code(one.short)}. ${plain(why)}.${one.command === null ? '' : ` Helps: ${code(one.command)}`}`;
  });
}

function entryMarkdown(entry, now) {
  const line = told(entry, now);
  const { first, more } = some(line.rules, 2);
  const time = entry.time === null ? 'no time' : moment(entry.time);
  const rules = `${first.map(code).join(', ')}${more ? ` ${more}` : ''}`;
  const where = line.group.group ? group(line.group) : line.group.name;
  const outcome = line.outcomes
    .map(([name, number]) => `${plain(spaced(name))}${number > 1 ? ` ×${number}` : ''}`)
    .join(', ');
  const cells = [time, where, rules, plain(line.note), code(line.short), outcome, plain(line.open)];
  return `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
}

const TABLE = ['| Time (UTC) | Group | Rules | | By | Outcome | Open |', '| --- | --- | --- | --- | --- | --- | --- |'];

// What is shown, as Markdown.
function markdown({ title, asked, open, numbers, entries, now }) {
  const lines = [`## ${plain(title)}`, ''];
  if (asked) lines.push(`Shown: ${plain(asked)}`, '');
  lines.push(
    ...(open.length
      ? [`**Open now: ${plural(open.length, 'rule')}**`, '', ...openMarkdown(open, now)]
      : ['No rule is missing.']),
    '',
  );
  lines.push(numbers, '');
  if (entries.length)
    lines.push(...TABLE, ...entries.slice(0, MARKDOWN_ENTRIES).map((entry) => entryMarkdown(entry, now)));
  if (entries.length > MARKDOWN_ENTRIES)
    lines.push('', `And ${plural(entries.length - MARKDOWN_ENTRIES, 'entry').replace('entrys', 'entries')} more.`);
  return `${lines.join('\n')}\n`;
}

// One incident, as Markdown.
function incidentMarkdown(story, now) {
  const when = story.time === null ? 'no time' : `${moment(story.time)} UTC`;
  const facts = [
    ['Who', code(story.who)],
    ['Call', story.call && plain(story.call)],
    ['Open', plain(openText(story, now))],
    ['Outcome', plain([spaced(story.outcome), story.reason].filter(Boolean).join(': '))],
    ['CloudTrail', trailLink(story)],
  ];
  const rules = story.rules.map(
    (line) =>
      `- ${code(line.rule)}: ${plain(spaced(line.outcome))}${line.details ? `, ${plain(line.details)}` : ''}${line.before === null ? '' : ` (also missing: ${plain(line.before)})`}`,
  );
  return `### ${when}, ${group(story)}\n\n${facts
    .filter(([, value]) => value)
    .map(([name, value]) => `- ${name}: ${value}`)
    .join('\n')}\n\n${rules.join('\n')}\n`;
}

const COLUMNS = {
  time: (story) => (story.time === null ? '' : new Date(story.time).toISOString()),
  account: (story) => story.item.group?.account,
  region: (story) => story.region,
  group: (story) => story.group,
  name: (story) => story.name,
  kind: (story) => story.kind,
  call: (story) => story.call,
  outcome: (story) => story.outcome,
  rule: (_, line) => line.rule,
  rule_outcome: (_, line) => line.outcome,
  dropped_by: (_, line) => line.by,
  missing_before: (_, line) => (line.before ? 'yes' : 'no'),
  details: (_, line) => line.details,
  principal: (story) => story.principal,
  session: (story) => story.session,
  source_ip: (story) => attributes(story.item.trigger).source_ip,
  user_agent: (story) => attributes(story.item.trigger).user_agent,
  access_key_id: (story) => attributes(story.item.trigger).access_key_id,
  event_id: (story) => attributes(story.item.trigger).event_id,
  open_ms: (story) => (story.open || story.start === null || story.end === null ? '' : story.end - story.start),
  still_open: (story) => (story.open ? 'yes' : 'no'),
  generation: (story) => story.item.generation,
  reason: (story) => story.unreadable ?? story.reason,
  key: (story) => story.key,
};

// A cell. A spreadsheet takes a text that begins like a formula for one, so such a text gets an apostrophe in front.
function cell(value) {
  const text = isNothing(value) ? '' : visible(value);
  return `"${(/^\s*[=+\-@＝＋－＠]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

// A row for each rule of each incident; the mark in front tells spreadsheets that it is UTF-8.
function csv(stories) {
  const rows = stories.flatMap((story) =>
    (story.rules.length ? story.rules : [{}]).map((line) => Object.values(COLUMNS).map((of) => cell(of(story, line)))),
  );
  return `\ufeff${[Object.keys(COLUMNS).map(cell), ...rows].map((row) => row.join(',')).join('\r\n')}\r\n`;
}

// An event in CloudTrail's console, or null if the Region or the id is none.
function trailLink(story) {
  const id = attributes(story.item.trigger).event_id;
  const region = story.region;
  if (!/^[a-z]{2}(-[a-z]+)+-\d{1,2}$/.test(region) || typeof id !== 'string' || !/^[\w-]{1,64}$/.test(id)) return null;
  const domain = region.startsWith('us-gov-')
    ? 'console.amazonaws-us-gov.com'
    : region.startsWith('cn-')
      ? 'console.amazonaws.cn'
      : 'console.aws.amazon.com';
  return `https://${region}.${domain}/cloudtrailv2/home?region=${region}#/events/${id}`;
}
