
(() => {
  'use strict';

  const RETRY_FIRST_MS = 1000;
  const RETRY_MAX_MS = 10000;
  const TICK_MS = 250;
  // A buyer who paid in the last instant hears of it after the cancel, and of a refund after paying.
  const LOOKS_AGAIN_MS = {
    cancelled: [3000, 5000, 10000, 20000, 40000, 80000, 160000, 320000],
    paid: [30000, 60000, 120000, 240000, 480000],
    refunded: [],
  };
  const SOON_MS = 60000;
  const SOON_PART = 0.25;
  const COUNTS_DOWN = ['preparing', 'scan', 'scanned'];

  const main = document.getElementById('cashier');
  const byId = (id) => document.getElementById(id);
  const base = main.dataset.order;
  const bar = byId('bar');

  let createdAt = Number(main.dataset.createdAt);
  let expiresAt = Number(main.dataset.expiresAt);
  let serverNow = Number(main.dataset.serverNow);
  let serverNowAt = performance.now();
  let shown = null;
  let source = null;
  let timer = 0;
  let failures = 0;
  let looks = 0;
  let settled = main.dataset.settled === 'true';
  let announced = main.dataset.scene;

  // The server's clock, carried on by the browser's own: what the phone's clock says is irrelevant.
  const now = () => serverNow + (performance.now() - serverNowAt);

  function show(scene) {
    if (scene === announced) return;
    announced = scene;
    main.dataset.scene = scene;
    const words = document.querySelector(`.words[data-for="${scene}"]`);
    if (!words) return;
    const heading = words.querySelector('h1').firstChild.textContent.trim();
    document.title = document.title.replace(/^.* · /, () => `${heading} · `);
    byId('announce').textContent = words.textContent.replace(/\s+/g, ' ').trim();
  }

  function showCode(number, amount) {
    const tile = byId('qr');
    if (number === shown) return;
    shown = number;
    tile.replaceChildren();
    if (!number) return;
    const image = new Image(248, 248);
    image.alt = `QR code to pay ¥${amount} with Alipay`;
    image.addEventListener('error', () => {
      if (shown !== number) return;
      tile.replaceChildren('The code did not load, retrying…');
      setTimeout(() => {
        if (shown !== number) return;
        shown = null;
        showCode(number, amount);
      }, 2000);
    });
    image.src = `${base}/qr.svg?attempt=${encodeURIComponent(number)}`;
    tile.append(image);
  }

  function showLink(url) {
    const link = byId('pay-url');
    const usable = /^https?:\/\//.test(url || '');
    link.hidden = !usable;
    if (usable) link.href = url;
    else link.removeAttribute('href');
  }

  const LOCAL = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

  function showTime(id, time) {
    const element = byId(id);
    if (!time) return;
    element.dateTime = time;
    element.textContent = LOCAL.format(new Date(time));
  }

  function showNotices(notices) {
    const items = notices.map(({ en, zh }) => {
      const item = document.createElement('li');
      const chinese = document.createElement('span');
      chinese.lang = 'zh-CN';
      chinese.textContent = zh;
      item.append(`${en} `, chinese);
      return item;
    });
    const list = byId('notices');
    const before = list.textContent.replace(/\s+/g, ' ').trim();
    list.replaceChildren(...items);
    const after = list.textContent.replace(/\s+/g, ' ').trim();
    if (after && after !== before) byId('announce').textContent = after;
  }

  function apply(order) {
    expiresAt = Date.parse(order.expires_at);
    createdAt = Date.parse(order.created_at);
    serverNow = Date.parse(order.server_now);
    serverNowAt = performance.now();
    showCode(order.out_trade_no, order.amount_yuan);
    showLink(order.pay_url);
    showTime('paid-at', order.paid_at);
    showTime('cancelled-at', order.cancelled_at);
    showTime('checked-at', order.checked_at);
    byId('checked').hidden = !order.checked_at;
    if (order.cancel_reason) {
      byId('reason').textContent = order.cancel_reason.en;
      byId('reason-zh').textContent = order.cancel_reason.zh;
    }
    show(order.scene);
    showNotices(order.notices);
    tick();
  }

  function format(leftMs) {
    const seconds = Math.ceil(Math.max(0, leftMs) / 1000);
    const two = (number) => String(number).padStart(2, '0');
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    return hours > 0
      ? `${hours}:${two(minutes)}:${two(seconds % 60)}`
      : `${minutes}:${two(seconds % 60)}`;
  }

  function tick() {
    if (!COUNTS_DOWN.includes(main.dataset.scene)) return;
    const left = expiresAt - now();
    const part = Math.min(1, Math.max(0, left / Math.max(1, expiresAt - createdAt)));
    const text = format(left);
    if (byId('countdown').textContent !== text) byId('countdown').textContent = text;
    bar.firstElementChild.style.transform = `scaleX(${part.toFixed(4)})`;
    main.classList.toggle('soon', left < SOON_MS && part < SOON_PART);
    // Nobody may pay after the deadline, even while the connection is down.
    if (left <= 0) show('checking');
  }

  function lost(isLost) {
    byId('lost').hidden = !isLost;
  }

  function later(ms) {
    clearTimeout(timer);
    timer = setTimeout(connect, ms);
  }

  function disconnect() {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  }

  function ended() {
    disconnect();
    const pauses = LOOKS_AGAIN_MS[main.dataset.scene] || [];
    if (looks < pauses.length) {
      later(pauses[looks]);
      looks += 1;
    }
  }

  function connect() {
    disconnect();
    const mine = new EventSource(`${base}/stream`);
    source = mine;
    mine.addEventListener('order', (event) => {
      failures = 0;
      lost(false);
      const order = JSON.parse(event.data);
      apply(order);
      settled = order.settled;
      if (settled) ended();
    });
    mine.addEventListener('error', () => {
      if (source !== mine) return;
      disconnect();
      if (settled) {
        ended();
        return;
      }
      lost(true);
      const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures);
      failures += 1;
      later(wait * (0.75 + Math.random() / 2));
    });
  }

  for (const time of document.querySelectorAll('time[datetime]')) showTime(time.id, time.dateTime);
  const image = byId('qr').querySelector('img');
  if (image) shown = new URL(image.src).searchParams.get('attempt');
  bar.hidden = false;
  setInterval(tick, TICK_MS);
  tick();
  connect();
  // A phone that slept has missed things, its own clock's ticks included.
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') connect();
  });
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) connect();
  });
  window.addEventListener('pagehide', disconnect);
})();
