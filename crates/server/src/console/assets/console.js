// The console works without this script. It adds the reader's own time, warnings before typed text is lost, copying, the order
// of a list by dragging and keys, help in forms, and news.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

const page = document.body.dataset;

const make = (name, properties) => Object.assign(document.createElement(name), properties);

// Times
const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
for (const time of all('time[datetime]')) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.valueOf())) {
    time.title = time.textContent;
    time.textContent = format.format(moment);
  }
}

// What is wrong comes first: the one field that it is about, or else the list of all.
const wrong = all('[aria-invalid]');
(wrong.length === 1 ? wrong[0] : one('#problem'))?.focus();

// What was done is told once, where the reader is. A link with a hash loads nothing.
const here = () => {
  const url = new URL(location);
  for (const old of ['changed', 'did', 'refused', 'moved']) url.searchParams.delete(old);
  url.pathname = url.pathname.replace(/(_\w+)\/(order|sort)$/, '$1');
  url.hash = '';
  return url;
};
const [path, height] = (sessionStorage.getItem('place') ?? '').split(' ');
sessionStorage.removeItem('place');
const isTold = here().search !== location.search;
if (isTold) history.replaceState(null, '', here());
one('.close')?.addEventListener('click', (event) => {
  event.preventDefault();
  event.target.closest('.said').remove();
});

// Typed text. A page that answers a form has it again. A form that is sent loses nothing, but the others do.
const typed = new Set();
let sent = null;
for (const form of all('form[data-keep]')) {
  if ('answers' in page && new URL(form.action).pathname === location.pathname) typed.add(form);
  form.addEventListener('input', () => { typed.add(form); });
}
addEventListener('submit', (event) => {
  if (event.defaultPrevented) return;
  sent = event.target;
  sessionStorage.setItem('place', `${location.pathname} ${scrollY}`);
});
addEventListener('beforeunload', (event) => {
  if ([...typed].some((form) => form !== sent)) event.preventDefault();
  sent = null;
});

// Tablets have no warning of their own. Only links that leave the page lose the text.
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href]');
  const isKept = !link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey;
  if (isKept || !typed.size || link.getAttribute('href').startsWith('#')) return;
  if (confirm('Leave this page? What you typed here is not saved.')) typed.clear();
  else event.preventDefault();
});

// Copying
for (const field of all('[data-copy]')) {
  const button = make('button', { type: 'button', textContent: 'Copy' });
  const told = make('span', { className: 'soft', role: 'status' });
  button.addEventListener('click', async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      told.textContent = ' Copied.';
    } catch {
      told.textContent = ' It is marked: copy it with the keyboard.';
    }
  });
  const row = make('p');
  row.append(button, told);
  field.after(row);
}

// The companies of a key
const companies = one('#companies');
companies?.addEventListener('change', ({ target }) => {
  const some = one('[name=coverage][value=some]', companies);
  if (some && target.name === 'company' && target.checked) some.checked = true;
  if (target.value === 'all') for (const box of all('[name=company]', companies)) box.checked = false;
});
one('#find')?.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return;
  event.preventDefault();
  event.target.nextElementSibling.click();
});

// Time zones, of which nobody knows the spelling
const zone = one('#timezone');
if (zone && Intl.supportedValuesOf) {
  const list = make('datalist', { id: 'zones' });
  list.append(...Intl.supportedValuesOf('timeZone').map((value) => make('option', { value })));
  zone.after(list);
  zone.setAttribute('list', 'zones');
}

// Contrast
const luminance = (color) => {
  const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
  const [red, green, blue] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
for (const palette of all('.palette')) {
  const own = one('[name=own]', palette);
  own.addEventListener('input', () => { one('[value=own]', palette).checked = true; });
  palette.addEventListener('input', () => {
    const told = one('#contrast');
    if (!told) return;
    const picked = one('[name=pick]:checked', palette).value;
    const color = picked === 'own' ? own.value : picked;
    if (color === 'none') {
      told.textContent = '';
      return;
    }
    const on = luminance(color);
    const [white, black] = [1.05 / (on + 0.05), (on + 0.05) / 0.05];
    const name = white > black ? 'white' : 'black';
    told.textContent = `On this color, ${name} text is easy to read (contrast ${Math.max(white, black).toFixed(1)} : 1).`;
  });
}

// The order of a list
const EDGE = 48;
const order = one('#order');
const say = (text) => { one('#live').textContent = text; };
const name = (row) => one('.what a', row).textContent;
const rows = () => all('li', order);
const place = (row) => `${name(row)}, ${rows().indexOf(row) + 1} of ${rows().length}`;
const field = (row) => one('input', row);
const isWritten = (row) => field(row).value.trim() !== field(row).defaultValue;

// A written place waits, marked, until its row moves there.
const number = () => {
  const list = rows();
  typed.delete(order);
  list.forEach((row, at) => {
    const stays = isWritten(row);
    field(row).defaultValue = at + 1;
    if (!stays) field(row).value = at + 1;
    if (row.classList.toggle('waits', isWritten(row))) typed.add(order);
    else {
      field(row).ariaInvalid = null;
      one('.wrong', row)?.remove();
    }
    one('[name=up]', row).ariaDisabled = at === 0 || null;
    one('[name=down]', row).ariaDisabled = at === list.length - 1 || null;
  });
};

// The other rows move around this one, which keeps the focus and the pointer as long as it stays where it is.
const put = (row, at) => {
  const list = rows();
  const from = list.indexOf(row);
  const to = Math.max(0, Math.min(at, list.length - 1));
  if (to < from) row.after(...list.slice(to, from));
  else row.before(...list.slice(from + 1, to + 1));
  number();
};

// All written places count, and the other rows keep their order around them. The server tells which text is no place.
const putWritten = (row) => {
  const list = rows();
  const to = (one) => Number(field(one).value);
  const moved = list.filter(isWritten).sort((a, b) => to(a) - to(b));
  const isPlace = (one, at) => to(one) % 1 === 0 && to(one) > (at && to(moved[at - 1])) && to(one) <= list.length;
  if (!moved.every(isPlace)) return null;
  const after = list.filter((one) => !moved.includes(one));
  for (const one of moved) {
    after.splice(to(one) - 1, 0, one);
    field(one).value = field(one).defaultValue;
  }
  const at = after.indexOf(row);
  row.before(...after.slice(0, at));
  row.after(...after.slice(at + 1));
  number();
  return moved;
};

// At the edge of the screen, where the reader is, and where no row moves because of it.
const foot = () => {
  if (!one('.foot')) one('main').append(make('div', { className: 'foot' }));
  return one('.foot');
};
const told = (text, action) => {
  one('.told')?.remove();
  one('.done')?.classList.add('over');
  const box = make('div', { className: 'told' });
  box.append(make('p', { textContent: text }), action ?? '');
  foot().prepend(box);
};
const undoing = ({ undo, next, request }) => {
  if (!undo) return null;
  const form = make('form', { method: 'post', action: undo });
  for (const [name, value] of [['next', next], ['request', `${request}-undo`]]) form.append(make('input', { type: 'hidden', name, value }));
  form.append(make('button', { textContent: 'Undo' }));
  return form;
};

// One after the other: each needs the etag of the one before.
let saving = Promise.resolve();
let unsaved = 0;
let failed = false;
let saved = order ? rows() : [];
const save = (moved, byNumber) => {
  unsaved += 1;
  const list = rows();
  const ids = list.map((other) => one('[name=up]', other).value).join(',');
  saving = saving.then(async () => {
    if (failed) return;
    const body = new URLSearchParams({ ids, etag: order.etag.value, request: order.request.value });
    const headers = { accept: 'application/json' };
    const answer = await fetch(order.action, { method: 'POST', body, headers }).catch(() => null);
    const result = await answer?.json().catch(() => null);
    if (!answer?.ok || !result) {
      // The page shows no order that nobody saved.
      failed = true;
      one('ol', order).append(...saved);
      if (byNumber) for (const row of moved) field(row).defaultValue = '';
      number();
      const next = make('a', { className: 'button', href: here(), textContent: result?.link ?? 'Load the page again' });
      // Sent along, written places stand on the next page too.
      if (result?.link && typed.has(order)) next.onclick = () => { order.requestSubmit(); return false; };
      one('.news')?.remove();
      told(result?.text ?? 'The new order could not be saved, and the list is as it was before. Try again.', next);
      next.focus({ preventScroll: true });
      say('The new order was not saved.');
      return;
    }
    saved = list;
    order.etag.value = result.etag;
    order.request.value = result.request;
    page.revision = result.revision;
    // The page of a refused order is the list's now.
    if (here().pathname !== location.pathname) {
      one('#problem')?.remove();
      history.replaceState(null, '', here());
    }
    told(moved.map((row) => `${name(row)} is number ${list.indexOf(row) + 1} now.`).join(' '), undoing(result));
  }).finally(() => {
    unsaved -= 1;
    if (!unsaved) failed = false;
  });
};

// So does a form of the page.
document.addEventListener('submit', (event) => {
  if (!unsaved || event.defaultPrevented) return;
  event.preventDefault();
  saving.then(() => event.target.requestSubmit(event.submitter));
});

const step = (row, by) => {
  const to = rows().indexOf(row) + by;
  if (to < 0 || to >= rows().length) return;
  put(row, to);
  say(place(row));
};

if (order) {
  // Of a page that answers a form.
  rows().forEach((row, at) => {
    const { value } = field(row);
    Object.assign(field(row), { defaultValue: at + 1, value });
  });
  number();
  order.addEventListener('input', number);
  order.addEventListener('submit', (event) => {
    const button = event.submitter;
    // Enter in a field presses the button that nobody sees.
    const row = (button?.closest('li') ? button : document.activeElement).closest('li');
    if (!row) return;
    if (button.name === 'place') {
      const moved = putWritten(row);
      if (!moved) return;
      event.preventDefault();
      if (button.closest('li')) button.focus();
      const already = `${name(row)} is number ${rows().indexOf(row) + 1} already.`;
      say(moved.map(place).join('. ') || already);
      if (moved.length) save(moved, true);
      else told(already);
      return;
    }
    event.preventDefault();
    if (button.ariaDisabled) return;
    step(row, button.name === 'up' ? -1 : 1);
    save([row]);
  });

  for (const row of rows()) {
    const grip = make('button', { type: 'button', className: 'grip', textContent: '⠿', ariaPressed: false });
    grip.ariaLabel = `${name(row)}: drag, or press Space and then the arrows`;
    row.prepend(grip);
    let before = null;
    let pointer = 0;
    const hold = () => {
      before = rows();
      row.classList.add('held');
      grip.ariaPressed = true;
    };
    const drop = (isKept) => {
      if (!before) return;
      pointer = 0;
      if (!isKept) put(row, before.indexOf(row));
      const isMoved = rows().some((other, at) => other !== before[at]);
      before = null;
      row.classList.remove('held');
      grip.ariaPressed = false;
      if (isMoved) save([row]);
    };
    const leave = () => {
      if (!before) return;
      drop(false);
      say(`Left where it was. ${place(row)}`);
    };
    grip.addEventListener('keydown', (event) => {
      const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (event.key === ' ' || event.key === 'Enter') {
        event.preventDefault();
        if (before) {
          drop(true);
          say(`Dropped. ${place(row)}`);
        } else {
          hold();
          say(`Held. ${place(row)}. Arrows move it, Space drops it, Escape leaves it.`);
        }
      } else if (before && by) {
        event.preventDefault();
        step(row, by);
      } else if (event.key === 'Escape') leave();
    });
    grip.addEventListener('blur', leave);
    const follow = () => {
      const others = rows().filter((other) => other !== row);
      const isBelow = (other) => {
        const box = other.getBoundingClientRect();
        return pointer > box.top + box.height / 2;
      };
      const to = others.filter(isBelow).length;
      if (to !== rows().indexOf(row)) put(row, to);
    };
    // At the edges of the screen the page scrolls.
    const scroll = () => {
      if (!before) return;
      const by = Math.min(0, pointer - EDGE) + Math.max(0, pointer + EDGE - innerHeight);
      if (by) {
        scrollBy(0, by / 4);
        follow();
      }
      requestAnimationFrame(scroll);
    };
    grip.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      grip.focus();
      grip.setPointerCapture(event.pointerId);
      hold();
    });
    grip.addEventListener('pointermove', (event) => {
      if (!before || !grip.hasPointerCapture(event.pointerId)) return;
      if (!pointer) requestAnimationFrame(scroll);
      pointer = event.clientY;
      follow();
    });
    grip.addEventListener('pointerup', () => drop(true));
    grip.addEventListener('pointercancel', leave);
  }
}

// Others' changes
const look = async () => {
  const known = page.revision;
  if (document.hidden || one('.news, .told > .button')) return;
  const headers = { 'if-none-match': `"${known}"`, accept: 'application/json' };
  const answer = await fetch(`${page.company}/revision`, { headers }).catch(() => null);
  // A text and a link: the session is over.
  const { revision, own, text, link } = (await answer?.json().catch(() => null)) ?? {};
  // The page's own save came between.
  if (!link && (!revision || unsaved || known !== page.revision)) return;
  const news = make('div', { className: 'news', role: 'status' });
  const who = own ? 'You changed this company in another window.' : 'Somebody changed this company just now.';
  const action = { className: 'button', href: here(), textContent: link ?? 'Show it as it is now' };
  news.append(make('p', { textContent: text ?? who }), make('a', action));
  foot().append(news);
};
if (page.company && page.revision !== '0') setInterval(look, 5000);

// After all that makes rows higher.
if (isTold && path === location.pathname) scrollTo(0, height);
