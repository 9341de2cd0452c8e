// Pages with documents of our own: the page that the built command line makes, with other data in its place. The page's
// policy does not cover data, so scripts and style stay exactly those that are shipped.

const embedded = (value) =>
  JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

function put(page, id, value) {
  const [from, to] = [`<script type="application/json" id="${id}">`, '</script>'];
  const at = page.indexOf(from) + from.length;
  if (at < from.length) throw new Error(`the page has no data ${id}`);
  return page.slice(0, at) + embedded(value) + page.slice(page.indexOf(to, at));
}

// The page of a document, written at a time.
export function pageOf(template, document, now, groups) {
  const about = {
    account: '111122223333',
    region: 'eu-west-1',
    since: new Date(now - 7 * 86_400_000).toISOString(),
    written: new Date(now).toISOString(),
    groups,
    version: '0.0.0-test',
  };
  return put(put(template, 'about', about), 'incidents', document);
}
