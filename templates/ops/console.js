// Fetches a page again when the service says that it is out of date, and tells how far away times
// are. Every page works without it.
(() => {
  'use strict';

  const RETRY_FIRST_MS = 1000;
  const RETRY_MAX_MS = 15000;
  const TICK_MS = 1000;
  const NEAR_MS = 24 * 3600 * 1000;

  const stream = document.body.dataset.stream;
  const pulse = document.getElementById('pulse');
  let serverNow = Number(document.body.dataset.serverNow);
  let serverNowAt = performance.now();
  let source = null;
  let timer = 0;
  let failures = 0;
  let fetching = false;
  let again = false;
  let leaving = false;

  const now = () => serverNow + (performance.now() - serverNowAt);
  const say = (text) => { if (pulse.textContent !== text) pulse.textContent = text; };

  // How far away a time is, beside it; by the server's clock.
  function distance(ms) {
    const seconds = Math.round(Math.abs(ms) / 1000);
    const text = seconds < 120 ? `${seconds} s`
      : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
    return ms > 0 ? `in ${text}` : `${text} ago`;
  }

  function tick() {
    for (const time of document.querySelectorAll('time[data-at]')) {
      const left = Number(time.dataset.at) - now();
      const text = Math.abs(left) < NEAR_MS ? distance(left) : '';
      if (time.dataset.distance !== text) time.dataset.distance = text;
    }
  }

  // Puts the new page's content in the place of the old, and leaves open what the reader opened.
  function replace(fresh) {
    const old = document.getElementById('live');
    const next = fresh.getElementById('live');
    if (!next) return;
    serverNow = Number(fresh.body.dataset.serverNow);
    serverNowAt = performance.now();
    for (const open of old.querySelectorAll('details[open]')) {
      const same = next.querySelector(`details[id="${CSS.escape(open.id)}"]`);
      if (same) same.open = true;
    }
    // What the reader is writing stays, too.
    for (const typed of old.querySelectorAll('input[type="text"][id]')) {
      const same = next.querySelector(`input[id="${CSS.escape(typed.id)}"]`);
      if (same) same.value = typed.value;
    }
    // What came of a button stays, until something else has come of it.
    const status = (page) => page.querySelector('#status')?.textContent;
    const notice = old.querySelector('#notice');
    if (notice && status(old) === status(next)) {
      next.querySelector('.summary, .about')?.after(document.adoptNode(notice));
    }
    const focused = old.contains(document.activeElement) ? document.activeElement.id : '';
    old.replaceWith(document.adoptNode(next));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    tick();
  }

  async function refresh() {
    if (leaving) return;
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    try {
      const answer = await fetch(location.href, { cache: 'no-store' });
      if (answer.redirected || answer.status === 401) {
        leaving = true;
        location.reload();
        return;
      }
      if (answer.ok) {
        replace(new DOMParser().parseFromString(await answer.text(), 'text/html'));
        say('Live.');
      }
    } catch {
      say('Connection lost, retrying…');
    } finally {
      fetching = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  function disconnect() {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  }

  function connect() {
    disconnect();
    const mine = new EventSource(stream);
    source = mine;
    mine.addEventListener('open', () => {
      failures = 0;
      // Whatever happened since the page was made.
      refresh();
    });
    mine.addEventListener('changed', refresh);
    mine.addEventListener('error', () => {
      if (source !== mine || leaving) return;
      disconnect();
      say('Connection lost, retrying…');
      const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures);
      failures += 1;
      timer = setTimeout(() => { refresh().then(connect); }, wait * (0.75 + Math.random() / 2));
    });
  }

  // On a narrow screen the page's own name may be outside.
  const tab = document.querySelector('nav a[aria-current]');
  if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 32;
  // What came of a button is said once.
  const address = new URL(location.href);
  for (const said of ['asked', 'said']) address.searchParams.delete(said);
  if (address.href !== location.href) history.replaceState(null, '', address);
  setInterval(tick, TICK_MS);
  tick();
  // A second press of a button does nothing more.
  document.addEventListener('submit', (event) => {
    const button = event.target.querySelector('button');
    if (event.target.method === 'post' && button) setTimeout(() => { button.disabled = true; });
  });
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });
  if (!stream) return;
  connect();
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') connect();
    else disconnect();
  });
  window.addEventListener('pagehide', () => {
    leaving = true;
    disconnect();
  });
})();
