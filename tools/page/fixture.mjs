// Incidents as the function writes them, made by code. Each is made from flags, and what the page should say of all of
// them follows from the same flags, not from the page's code.

const REGION = 'eu-west-1';
const MINUTE = 60_000;

// Texts that would run, or end what holds them, if any were taken for more than text.
export const HOSTILE = [
  '</script><script>window.owned=1</script>',
  '<img src=x onerror="window.owned=2">',
  '<!-- <script> --!> <svg onload=window.owned=3>',
  '\'"`${window.owned=4}\\u0022',
  'javascript:window.owned=5',
  'two\u2028lines\u2029\u0000\u001b[31m\u202Edesrever',
];

const ROLE = 'arn:aws:iam::111122223333:role/';
const ACTORS = [
  'eks/aws-load-balancer-controller',
  'terraform',
  'ack-ec2-controller',
  'console/maria',
  'ci/deployer',
].map((name) => ROLE + name);

// The same numbers each time.
function randomly(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const rule = (n) => `tcp ${8000 + (n % 900)} from 10.${n % 250}.0.0/16`;

// What kinds of incidents there are: the outcome, the rules by outcome, and what found it.
const KINDS = [
  { outcome: 'restored', rules: ['restored', 'restored', 'already_present'] },
  { outcome: 'restored', rules: ['restored'] },
  { outcome: 'restored', rules: ['restored', 'restored', 'restored', 'restored_elsewhere'] },
  { outcome: 'partial', rules: ['restored', 'failed'] },
  { outcome: 'contested', rules: ['contested'] },
  { outcome: 'held', rules: ['held'] },
  { outcome: 'restored', rules: ['restored'], kind: 'sweep' },
  { outcome: 'restored', rules: ['restored', 'restored'], kind: 'operator' },
  { outcome: 'converged', rules: ['superseded', 'superseded'] },
  { outcome: 'failed', rules: ['failed', 'failed'] },
  { unreadable: true },
];
const MISSING = ['failed', 'held', 'contested'];
const BACK = ['restored', 'restored_elsewhere'];

const REASONS = {
  failed: { error_code: 'InvalidGroup.NotFound', reason: 'sg-0fedcba9876543210 does not exist' },
  contested: { reason: `left alone until 10:40: ${ACTORS[0]} has revoked it 6 times within 10 minutes` },
  held: { reason: 'the record is paused' },
  superseded: { reason: 'tcp 80-9100 from 10.0.0.0/8 allows the same' },
  restored_elsewhere: { reason: 'somebody else put it back' },
};

const ACCOUNT = '111122223333';
const second = (time) => new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
const address = (id) => ({ account: ACCOUNT, region: REGION, id });

function story(kind, n, time, who, random) {
  const lines = kind.rules.map((outcome, at) => ({
    rule: rule(n * 4 + at),
    outcome,
    ...(outcome === 'restored' ? { rule_id: `sgr-${(n * 4 + at).toString(16).padStart(17, '0')}` } : REASONS[outcome]),
    // Incidents of older versions do not say who took a rule.
    ...(n % 3 && !kind.kind ? { dropped_by: 'this_event' } : {}),
  }));
  const restored = kind.rules.includes('restored');
  const trigger =
    kind.kind === 'sweep'
      ? { kind: 'sweep' }
      : kind.kind === 'operator'
        ? { kind: 'operator', principal: ROLE + 'oncall' }
        : {
            kind: 'event',
            event_id: `event-${n}`,
            event_name: 'RevokeSecurityGroupIngress',
            event_time: new Date(time).toISOString(),
            principal: who,
          };
  const quick = 1200 + random(1500);
  const timing = { total_ms: 90 + random(200), ...(restored ? { restored_ms: 40 + random(60) } : {}) };
  if (trigger.kind === 'event') timing.event_age_ms = n % 41 === 0 ? quick * 30 : quick;
  const open = restored && trigger.kind === 'event' ? timing.event_age_ms + timing.restored_ms : undefined;
  return {
    trigger,
    outcome: kind.outcome,
    reason: `${kind.rules.filter((o) => o === 'restored').length} of ${kind.rules.length} dropped rules restored`,
    generation: 1 + (n % 12),
    rules: lines,
    unexpected: n % 7 ? [] : ['tcp 22 from 0.0.0.0/0'],
    timing,
    ...(open === undefined ? {} : { open_ms: open, restored_at: new Date(time + open).toISOString() }),
    calls: { AuthorizeSecurityGroupIngress: 1, BatchGetItem: 1, DescribeSecurityGroupRules: 2 },
    ...(kind.outcome === 'contested' ? { notices: [`rulekeeper and ${who} undo each other's work`] } : {}),
    ...(n % 23 ? {} : { warnings: ['the tag owner could not be set'] }),
    expires_at: Math.floor(time / 1000) + 90 * 86400,
    revision: 1,
  };
}

// So many incidents of so many groups, the newest ten minutes before `now`; each group's in turn.
export function fixture(total, groups, now) {
  const random = randomly(total);
  const ids = Array.from({ length: groups }, (_, n) => `sg-0${(n * 7919 + 0xabc123).toString(16).padStart(16, '0')}`);
  const items = [];
  const open = [];
  const expected = {
    incidents: 0,
    groups: 0,
    rules: {},
    outcomes: {},
    actors: {},
    byGroup: {},
    openIncidents: 0,
    unreadable: 0,
    hostile: 0,
    lengths: [],
    ids,
  };
  const latest = new Set();
  const add = (table, name, by = 1) => {
    table[name] = (table[name] ?? 0) + by;
  };
  const step = (6 * 24 * 60 * MINUTE) / total;
  for (let n = 0; n < total; n += 1) {
    const group = ids[n < groups ? n : random(groups)];
    const time = Math.floor((now - 10 * MINUTE - n * step) / 1000) * 1000;
    const kind = KINDS[n < 40 ? n % KINDS.length : [0, 1, 2, 0, 1, random(KINDS.length)][random(6)]];
    const who = ACTORS[Math.min(random(ACTORS.length), random(ACTORS.length))];
    const key = `${second(time)}#event-${n}`;
    const item = kind.unreadable ? { unreadable: 'rules: not a list' } : story(kind, n, time, who, random);
    if (!kind.unreadable && n % 29 === 3) {
      const text = HOSTILE[((n / 29) | 0) % HOSTILE.length];
      Object.assign(item, {
        reason: text,
        warnings: [text],
        notices: text,
        calls: { [text]: 1 },
        note: { [text]: text },
      });
      item.rules[0].reason = text;
      if (item.trigger.kind === 'event')
        Object.assign(item.trigger, {
          principal: text,
          session: text,
          source_ip: text,
          event_id: text,
          user_agent: text,
        });
      expected.hostile += 1;
    }
    items.push({ group: address(group), key, ...item });
    count(item, kind, group, key, time);
  }
  function count(item, kind, group, key, time) {
    expected.incidents += 1;
    add(expected.byGroup, group);
    if (kind.unreadable) {
      expected.unreadable += 1;
      add(expected.outcomes, 'unreadable');
      return;
    }
    add(expected.outcomes, item.outcome);
    kind.rules.forEach((outcome) => add(expected.rules, outcome));
    if (item.trigger.principal && item.trigger.kind === 'event') add(expected.actors, item.trigger.principal);
    // Every incident has rules of its own, so the next one of the group says that they are missing no more: only the
    // newest that can be read is open.
    const left = item.rules.filter(({ outcome }) => MISSING.includes(outcome));
    if (left.length === 0 && item.open_ms !== undefined) expected.lengths.push(item.open_ms);
    if (!latest.has(group) && left.length > 0) {
      expected.openIncidents += 1;
      const { principal } = item.trigger;
      for (const { rule, outcome, reason } of left)
        open.push({
          ...{ group: address(group), rule, since: second(time), state: outcome, reason, principal, key },
          command: `rulekeeper restore ${group} --now`,
        });
    }
    latest.add(group);
  }
  expected.groups = Object.keys(expected.byGroup).length;
  expected.open = open.length;
  return { document: { schema: 1, kind: 'incidents', items, open, open_checked: true }, expected };
}

export const ANNA = {
  principal: `arn:aws:iam::${ACCOUNT}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_admin_0123456789abcdef`,
  session: 'anna@example.com',
  source_ip: '198.51.100.7',
  user_agent: 'aws-cli/2.31.4 md/awscrt#0.27.6 ua/2.1 os/macos',
  access_key_id: 'ASIAEXAMPLE4ANNA0001',
};
export const CI = { principal: `arn:aws:sts::${ACCOUNT}:assumed-role/terraform/ci-4711`, source_ip: '203.0.113.9' };
const CONTROLLER = { principal: `arn:aws:iam::${ACCOUNT}:role/eks/aws-load-balancer-controller`, session: 'lbc-7f' };
const NAMES = [
  'web',
  'api',
  'checkout',
  'db-primary',
  'cache',
  'workers',
  'ingress-public',
  'metrics',
  'bastion',
  'queue',
];
export const GROUPS = NAMES.map((name, n) => ({
  name,
  group: address(`sg-0${(n + 1).toString(16).padStart(16, '0')}`),
}));

// A night with 60 incidents in ten groups: a storm of ten groups, a fight of 20 rounds, two callers' drops in one group of
// which the first one's rule cannot come back, and 29 single drops; and what was done with the records.
export function night(moment) {
  const now = Math.floor(moment / 1000) * 1000;
  const items = [];
  const at = (minutes, seconds = 0) => now - minutes * MINUTE + seconds * 1000;
  const add = (where, time, caller, rules, more = {}) => {
    const event_id = `00000000-0000-4000-8000-${String(items.length).padStart(12, '0')}`;
    const key = `${second(time)}#${event_id}`;
    const own = rules.filter(({ dropped_by: by }) => by === undefined);
    const back = own.every(({ outcome }) => outcome === 'restored');
    items.push({
      ...GROUPS[where],
      key,
      trigger: {
        kind: 'event',
        event_id,
        event_name: 'RevokeSecurityGroupIngress',
        event_time: second(time),
        ...caller,
      },
      outcome: back ? 'restored' : own.some(({ outcome }) => outcome === 'restored') ? 'partial' : own[0].outcome,
      reason: back ? `${own.length} of ${own.length} dropped rules restored` : (own[0].reason ?? 'not all came back'),
      generation: 7,
      rules: rules.map((line) => ({ dropped_by: 'this_event', ...line })),
      ...(back ? { open_ms: 2900, restored_at: new Date(time + 2900).toISOString() } : {}),
      timing: { event_age_ms: 2800, restored_ms: 100, total_ms: 140 },
      calls: { AuthorizeSecurityGroupIngress: 1 },
      ...more,
    });
    return key;
  };
  const back = (text) => ({ rule: text, outcome: 'restored', rule_id: 'sgr-0123456789abcdef0' });
  const gone = { rule: 'tcp 80-9093 from sg-0dead000000000001', ...REASONS.failed, outcome: 'failed' };
  const single = [ANNA, CI, { principal: `arn:aws:iam::${ACCOUNT}:user/ops/bert` }];
  for (let n = 0; n < 27; n += 1)
    add(
      n % 7,
      at(2800 - n * 37),
      single[n % 3],
      Array.from({ length: 1 + (n % 4) }, (_, k) => back(rule(n * 9 + k))),
    );
  for (let n = 0; n < 20; n += 1) {
    const last = n >= 18;
    const line = last
      ? { rule: 'tcp 9443 from 10.0.0.0/8', outcome: 'contested', ...REASONS.contested }
      : back('tcp 9443 from 10.0.0.0/8');
    add(
      6,
      at(400, n * 45),
      CONTROLLER,
      [line],
      last ? { notices: ['rulekeeper and the controller undo each other'] } : {},
    );
  }
  add(6, at(350), { kind: 'sweep' }, [back('tcp 9443 from 10.0.0.0/8')], { trigger: { kind: 'sweep' } });
  for (let n = 0; n < 10; n += 1) add(n, at(130, n * 2), CI, [back('tcp 443 from 10.0.0.0/8'), back(rule(n))]);
  const first = add(0, at(50), CI, [gone]);
  add(0, at(38), ANNA, [
    back('tcp 443 from 10.0.0.0/8'),
    { ...gone, dropped_by: { principal: CI.principal, at: second(at(50)) } },
  ]);
  items.sort((a, b) => (a.key < b.key ? 1 : -1));
  const change = (where, minutes, what, by, more) => ({ ...GROUPS[where], at: second(at(minutes)), by, what, ...more });
  return {
    schema: 1,
    kind: 'incidents',
    items,
    open_checked: true,
    open: [
      {
        ...{ ...GROUPS[0], rule: gone.rule, since: second(at(50)), state: 'failed', reason: gone.reason, key: first },
        ...{ principal: CI.principal, command: `rulekeeper release ${GROUPS[0].group.id} '${gone.rule}'` },
      },
    ],
    changes: [
      ...GROUPS.map((_, n) =>
        change(n, 2850, 'pinned', ANNA.principal, { generation: 1, added: [rule(n), 'tcp 443 from 10.0.0.0/8'] }),
      ),
      change(1, 600, 'paused', ANNA.principal, { generation: 8, reason: 'maintenance of the API' }),
      change(1, 560, 'resumed', ANNA.principal, { generation: 9 }),
      change(2, 500, 'by_principal', CI.principal, {
        generation: 8,
        added: ['tcp 8443 from 10.0.0.0/8'],
        removed: ['tcp 8080 from 10.0.0.0/8'],
      }),
      change(3, 300, 'released', ANNA.principal, {
        generation: 8,
        removed: ['tcp 5432 from 10.9.0.0/16'],
        reason: 'moved',
      }),
      change(3, 290, 'rolled_back', ANNA.principal, {
        generation: 9,
        added: ['tcp 5432 from 10.9.0.0/16'],
        reason: 'too early',
      }),
    ],
  };
}

// A rule that two incidents leave missing and a sweep puts back, with known times: 40 min 0.5 s after the first drop. And
// an item that somebody wrote with a key of their own.
export function chain(now) {
  const group = address(REOPENED.group);
  const time = (minutes) => second(now - minutes * MINUTE);
  const line = (outcome) => ({ rule: 'tcp 443 from 10.0.0.0/8', outcome });
  const item = (trigger, outcome, timing) => ({ trigger, outcome, rules: [line(outcome)], timing, reason: 'chain' });
  const revoke = { kind: 'event', event_name: 'RevokeSecurityGroupIngress', principal: `${ROLE}chain` };
  return [
    { group, key: `${time(20)}#sweep`, ...item({ kind: 'sweep' }, 'restored', { restored_ms: 500, total_ms: 600 }) },
    { group, key: `${time(50)}#second`, ...item(revoke, 'failed', { event_age_ms: 2000, total_ms: 90 }) },
    { group, key: `${time(60)}#first`, ...item(revoke, 'failed', { event_age_ms: 2000, total_ms: 90 }) },
    { group, key: 'by hand', ...item(revoke, 'restored', {}) },
  ];
}

// The chain's group has a name, and a rule that somebody closed is open again.
export const REOPENED = {
  group: 'sg-0c0ffee0c0ffee000',
  name: 'checkout <b>',
  rule: 'tcp 22 from 0.0.0.0/0',
  by: `${ROLE}terraform`,
};

// A rule of the same group that cannot come back.
export const GONE = {
  rule: 'tcp 80 from sg-0bad0bad0bad0bad0',
  recorded: { protocol: 'tcp', from_port: 80, to_port: 80, referenced_group: { group_id: 'sg-0bad0bad0bad0bad0' } },
};

// The same in DynamoDB's notation, with a record for each group, so that the command line finds it.
export function written(items, account) {
  const groups = [...new Set(items.map(({ group }) => group.id))];
  const records = groups.map((group) => ({
    pk: { S: `desired#${account}#${REGION}` },
    sk: { S: group },
    rules: group === REOPENED.group ? attribute([GONE.recorded]) : { L: [] },
    ...(group === REOPENED.group ? { name: { S: REOPENED.name } } : {}),
  }));
  const states = groups
    .filter((group) => group === REOPENED.group)
    .map((group) => ({
      pk: { S: `state#${account}#${REGION}` },
      sk: { S: group },
      ...attribute({
        reopened: { [REOPENED.rule]: { at: '2026-11-22T09:30:00Z', by: REOPENED.by } },
        unrestorable: { [GONE.rule]: '2026-11-22T09:30:00Z' },
      }).M,
    }));
  const incidents = items.map(({ group, key, ...item }) => ({
    pk: { S: `incident#${account}#${REGION}#${group.id}` },
    sk: { S: key },
    ...attribute(item).M,
  }));
  return [...records, ...states, ...incidents];
}

function attribute(value) {
  if (Array.isArray(value)) return { L: value.map(attribute) };
  if (typeof value === 'number') return { N: String(value) };
  if (typeof value === 'string') return { S: value };
  return { M: Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, attribute(inner)])) };
}
