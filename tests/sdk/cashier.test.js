// The SDK makes links and forms for browsers, and verifies what the buyer returns with.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MODES, SUBJECT, World } from './world.js';

const RETURN_URL = 'http://127.0.0.1:9/back';
const PRODUCTS = {
  page: { product_code: 'FAST_INSTANT_TRADE_PAY' },
  wap: { product_code: 'QUICK_WAP_WAY', quit_url: 'http://127.0.0.1:9/quit' },
};
const redirect = 'manual';

/** Sends a form as a browser would. */
function submit(html) {
  const text = value => value.replace(/&quot;/g, '"').replace(/&amp;/g, '&');
  const [, action] = html.match(/<form action="([^"]*)"/);
  const inputs = html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g);
  const body = new URLSearchParams([...inputs].map(([, name, value]) => [name, text(value)]));
  return fetch(action, { method: 'POST', body, redirect });
}

for (const [name, mode] of Object.entries(MODES)) {
  describe(`cashier: ${name}`, () => {
    let world;
    before(async () => { world = await World.open(mode); });
    after(() => world.close());

    /** Follows what the SDK makes to the cashier. */
    async function cashier(product, httpMethod, number) {
      const order = { out_trade_no: number, total_amount: '88.88', subject: SUBJECT };
      const made = world.sdk.pageExecute(`alipay.trade.${product}.pay`, httpMethod, {
        bizContent: { ...order, ...PRODUCTS[product] },
        returnUrl: RETURN_URL,
        notifyUrl: world.notifyUrl,
      });
      const sent = await (httpMethod === 'GET' ? fetch(made, { redirect }) : submit(made));
      assert.equal(sent.status, 303, await sent.text());
      return sent.headers.get('location');
    }

    async function press(address, button) {
      const pressed = await fetch(`${address}/${button}`, { method: 'POST', redirect });
      assert.equal(pressed.status, 303, await pressed.text());
      return new URL(pressed.headers.get('location'));
    }

    for (const product of Object.keys(PRODUCTS)) {
      for (const httpMethod of ['GET', 'POST']) {
        test(`${product}, ${httpMethod}`, async () => {
          const number = `${product}_${httpMethod}`;
          const address = await cashier(product, httpMethod, number);
          assert.match(await (await fetch(address)).text(), /¥88\.88/);
          const back = await press(address, 'pay');
          assert.equal(back.origin + back.pathname, RETURN_URL);
          const returned = Object.fromEntries(back.searchParams);
          assert.ok(world.sdk.checkNotifySignV2(returned));
          assert.ok(!world.sdk.checkNotifySignV2({ ...returned, total_amount: '0.01' }));
          const paid = await world.trade('query', { out_trade_no: number });
          assert.deepEqual([paid.tradeStatus, paid.tradeNo], ['TRADE_SUCCESS', returned.trade_no]);
          const [notified] = await world.notified(number, 1);
          assert.equal(notified.subject, SUBJECT);
          assert.ok(world.sdk.checkNotifySignV2(notified));
        });
      }
    }

    test('fail and cancel', async () => {
      const address = await cashier('page', 'GET', 'F1');
      const turned = await press(address, 'cancel');
      assert.ok(world.sdk.checkNotifySignV2(Object.fromEntries(turned.searchParams)));
      const unknown = await world.trade('query', { out_trade_no: 'F1' });
      assert.equal(unknown.subCode, 'ACQ.TRADE_NOT_EXIST');
      const failed = await press(address, 'fail');
      assert.ok(world.sdk.checkNotifySignV2(Object.fromEntries(failed.searchParams)));
      const waiting = await world.trade('query', { out_trade_no: 'F1' });
      assert.equal(waiting.tradeStatus, 'WAIT_BUYER_PAY');
    });
  });
}
