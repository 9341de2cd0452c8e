// How the page is made of elements. Texts become texts, never markup.

const byId = (id) => document.getElementById(id);

// An element with these properties and children.
function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (key === 'class') made.className = value;
    else if (key.includes('-')) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return made;
}

// An element of a drawing.
function drawn(name, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const button = (text, act, properties) => element('button', { type: 'button', onclick: act, ...properties }, text);

// Says something for a moment, to eyes and to screen readers.
function say(text) {
  const box = byId('said');
  box.hidden = false;
  box.textContent = text;
  clearTimeout(say.ending);
  say.ending = setTimeout(() => {
    box.hidden = true;
  }, 4000);
}

// Puts a text on the clipboard. Where the browser refuses, the text is shown, selected, for people to copy.
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${what}`);
  } catch {
    byId('text-title').textContent = `Copy this: ${what}`;
    byId('text-box').value = text;
    byId('text-dialog').showModal();
    byId('text-box').select();
  }
}

// A command as it is typed, with a button that copies it.
const command = (text) =>
  element(
    'span',
    { class: 'command' },
    element('code', {}, text),
    button('Copy', () => copy(text, 'the command'), { 'aria-label': `Copy the command ${text}` }),
  );

// A file for people to save. It is made here and goes to no server.
function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
