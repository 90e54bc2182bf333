// The SDK's client of the third protocol, which verifies every success.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MODES, SUBJECT, World } from './world.js';

const DAY_MS = 24 * 3600 * 1000;

for (const [name, mode] of Object.entries(MODES)) {
  describe(`v3: ${name}`, () => {
    let world;
    before(async () => { world = await World.open(mode); });
    after(() => world.close());

    async function trade(call, body) {
      const answer = await world.sdk.curl('POST', `/v3/alipay/trade/${call}`, { body });
      assert.equal(answer.responseHttpStatus, 200);
      return answer.data;
    }
    const order = number => ({
      out_trade_no: number, total_amount: '88.88', subject: SUBJECT, notify_url: world.notifyUrl,
    });
    const fails = (call, body, status, code) =>
      assert.rejects(trade(call, body), error => {
        assert.deepEqual([error.responseHttpStatus, error.code], [status, code], error.message);
        return true;
      });

    test('a payment, from its code to its refund', async () => {
      const created = await trade('precreate', order('V1'));
      assert.match(created.qr_code, /^http/);
      await fails('query', { out_trade_no: 'V1' }, 400, 'TRADE_NOT_EXIST');
      await world.ctl('pay', { out_trade_no: 'V1' });
      const [notified] = await world.notified('V1', 1);
      assert.ok(world.sdk.checkNotifySignV2(notified));
      const paid = await trade('query', { out_trade_no: 'V1' });
      assert.deepEqual([paid.trade_status, paid.trade_no], ['TRADE_SUCCESS', notified.trade_no]);
      await fails('close', { out_trade_no: 'V1' }, 400, 'TRADE_STATUS_ERROR');

      const part = { out_trade_no: 'V1', refund_amount: '8.00', out_request_no: 'R1' };
      assert.equal((await trade('refund', part)).fund_change, 'Y');
      const asked = { out_trade_no: 'V1', out_request_no: 'R1' };
      const found = await trade('fastpay/refund/query', asked);
      assert.deepEqual([found.refund_status, found.refund_amount], ['REFUND_SUCCESS', '8.00']);
      const both = await world.trade('fastpay.refund.query', asked);
      assert.equal(both.refundAmount, '8.00');
    });

    test('pay, close and cancel', async () => {
      const shown = { ...order('V2'), scene: 'bar_code', auth_code: '280000000000000001' };
      assert.equal((await trade('pay', shown)).receipt_amount, '88.88');
      assert.equal((await trade('cancel', { out_trade_no: 'V2' })).action, 'refund');
      await trade('precreate', order('V3'));
      await world.ctl('scan', { out_trade_no: 'V3' });
      assert.equal((await trade('close', { out_trade_no: 'V3' })).out_trade_no, 'V3');
    });

    test('an answer that is not genuine is refused', async () => {
      for (const kind of ['wrong_sign', 'other_key', 'unsigned']) {
        await world.ctl('faults', { method: 'alipay.trade.query', kind, times: 1 });
        await assert.rejects(trade('query', { out_trade_no: 'V1' }), `${kind} is believed`);
      }
    });

    test('a bill', async () => {
      const { now } = await world.ctl('clock', { advance_ms: 0 });
      const date = new Date(Date.parse(now) + DAY_MS / 3).toISOString().slice(0, 10);
      await world.ctl('clock', { advance_ms: DAY_MS });
      const query = { bill_type: 'trade', bill_date: date };
      const path = '/v3/alipay/data/dataservice/bill/downloadurl/query';
      const answer = await world.sdk.curl('GET', path, { query });
      assert.equal((await fetch(answer.data.bill_download_url)).status, 200);
    });
  });
}
