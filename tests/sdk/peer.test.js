// The official SDK for Node drives the simulator. It verifies every answer and notification, so
// that a mistake which the simulator and this project's own client share is found here.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MODES, SUBJECT, World, until } from './world.js';

const order = number => ({ out_trade_no: number, total_amount: '88.88', subject: SUBJECT });

for (const [name, mode] of Object.entries(MODES)) {
  describe(name, () => {
    let world;
    before(async () => { world = await World.open(mode); });
    after(() => world.close());

    test('precreate, query and close', async () => {
      const created = await world.trade('precreate', order('T1'));
      assert.equal(created.code, '10000');
      assert.equal(created.outTradeNo, 'T1');
      assert.match(created.qrCode, /^http/);
      assert.match(created.traceId, /./);

      const unscanned = await world.trade('query', { out_trade_no: 'T1' });
      assert.deepEqual([unscanned.code, unscanned.subCode], ['40004', 'ACQ.TRADE_NOT_EXIST']);
      await world.ctl('scan', { out_trade_no: 'T1' });
      const waiting = await world.trade('query', { out_trade_no: 'T1' });
      assert.deepEqual([waiting.tradeStatus, waiting.totalAmount], ['WAIT_BUYER_PAY', '88.88']);
      const closed = await world.trade('close', { trade_no: waiting.tradeNo });
      assert.deepEqual([closed.code, closed.outTradeNo], ['10000', 'T1']);
      const again = await world.trade('close', { out_trade_no: 'T1' });
      assert.equal(again.subCode, 'ACQ.TRADE_STATUS_ERROR');

      const [notified] = await world.notified('T1', 1);
      assert.equal(notified.trade_status, 'TRADE_CLOSED');
      assert.ok(world.sdk.checkNotifySignV2(notified));
    });

    test('payment, refund in two parts and refund query', async () => {
      await world.paid('T2');
      const paid = await world.trade('query', { out_trade_no: 'T2' });
      assert.deepEqual([paid.tradeStatus, paid.buyerPayAmount], ['TRADE_SUCCESS', '88.88']);
      assert.match(paid.sendPayDate, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);

      const part = { out_trade_no: 'T2', refund_amount: '8.00', out_request_no: 'R1' };
      const first = await world.trade('refund', { ...part, refund_reason: SUBJECT });
      assert.deepEqual([first.fundChange, first.refundFee], ['Y', '8.00']);
      const repeated = await world.trade('refund', part);
      assert.deepEqual([repeated.code, repeated.fundChange], ['10000', 'N']);
      const rest = { out_trade_no: 'T2', refund_amount: '80.88', out_request_no: 'R2' };
      assert.equal((await world.trade('refund', rest)).refundFee, '88.88');
      assert.equal((await world.trade('query', { out_trade_no: 'T2' })).tradeStatus, 'TRADE_CLOSED');

      const asked = { out_trade_no: 'T2', out_request_no: 'R1' };
      const found = await world.trade('fastpay.refund.query', asked);
      assert.deepEqual([found.refundStatus, found.refundAmount], ['REFUND_SUCCESS', '8.00']);
      assert.equal(found.refundReason, SUBJECT);
      const none = await world.trade('fastpay.refund.query', { ...asked, out_request_no: 'R9' });
      assert.deepEqual([none.code, none.refundStatus], ['10000', undefined]);

      const [payment, one, two] = await world.notified('T2', 3);
      for (const form of [payment, one, two]) {
        assert.ok(world.sdk.checkNotifySignV2(form));
        assert.equal(form.subject, SUBJECT);
      }
      assert.deepEqual([payment.trade_status, payment.refund_fee], ['TRADE_SUCCESS', undefined]);
      assert.deepEqual([one.trade_status, one.out_biz_no], ['TRADE_SUCCESS', 'R1']);
      assert.deepEqual([two.trade_status, two.refund_fee], ['TRADE_CLOSED', '88.88']);
    });

    test('cancel of nothing, of a waiting and of a paid trade', async () => {
      const cancel = number => world.trade('cancel', { out_trade_no: number });
      const nothing = await cancel('T3');
      assert.deepEqual([nothing.code, nothing.action], ['10000', undefined]);
      await world.trade('precreate', order('T3'));
      await world.ctl('scan', { out_trade_no: 'T3' });
      const waiting = await cancel('T3');
      assert.deepEqual([waiting.action, waiting.retryFlag], ['close', 'N']);
      await world.paid('T4');
      assert.equal((await cancel('T4')).action, 'refund');
    });

    test('payment by the code of a buyer', async () => {
      const shown = (number, code) => ({ ...order(number), scene: 'bar_code', auth_code: code });
      const pay = (number, code) => world.trade('pay', shown(number, code));
      const paid = await pay('P1', '280000000000000001');
      assert.deepEqual([paid.code, paid.receiptAmount], ['10000', '88.88']);
      assert.match(paid.gmtPayment, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
      const [notified] = await world.notified('P1', 1);
      assert.equal(notified.trade_status, 'TRADE_SUCCESS');
      assert.ok(world.sdk.checkNotifySignV2(notified));
      const spent = await pay('P2', '280000000000000001');
      assert.deepEqual([spent.code, spent.subCode], ['40004', 'ACQ.PAYMENT_AUTH_CODE_INVALID']);

      const fault = { method: 'alipay.trade.pay', times: 1, delay_ms: 10 };
      await world.ctl('faults', { ...fault, kind: 'confirm_then_paid' });
      assert.equal((await pay('P2', '280000000000000002')).code, '10003');
      const [confirmed] = await world.notified('P2', 1);
      assert.equal(confirmed.trade_status, 'TRADE_SUCCESS');
      await world.ctl('faults', { ...fault, kind: 'unknown_then_failed' });
      assert.equal((await pay('P3', '280000000000000003')).code, '20000');
      const state = async () => (await world.trade('query', { out_trade_no: 'P3' })).tradeStatus;
      await until('the buyer has given up', async () => await state() === 'TRADE_CLOSED');
    });

    test('an answer or notification that is not genuine is refused', async () => {
      for (const kind of ['wrong_sign', 'other_key', 'unsigned']) {
        await world.ctl('faults', { method: 'alipay.trade.query', kind, times: 1 });
        await assert.rejects(world.trade('query', { out_trade_no: 'T2' }), `${kind} is believed`);
      }
      await world.ctl('faults', { method: 'notify', kind: 'bad_signature', times: 1 });
      await world.paid('T5');
      const [forged] = await world.notified('T5', 1);
      assert.ok(!world.sdk.checkNotifySignV2(forged));

      await world.ctl('faults', { method: 'notify', kind: 'unsigned_cert_sn', times: 1 });
      await world.paid('T6');
      const [{ alipay_cert_sn: number, ...signed }] = await world.notified('T6', 1);
      assert.match(number, /^[0-9a-f]{32}$/);
      assert.ok(world.sdk.checkNotifySignV2(signed));
      assert.ok(!world.sdk.checkNotifySignV2({ ...signed, total_amount: '0.01' }));
    });

    test('odd answers verify too', async () => {
      for (const kind of ['extra_fields', 'missing_fields', 'slow', 'rate_limited']) {
        const fault = { method: 'alipay.trade.query', kind, times: 1, delay_ms: 10 };
        await world.ctl('faults', fault);
        assert.match((await world.trade('query', { out_trade_no: 'T2' })).code, /^(10000|40005)$/);
      }
      const refused = await world.call('trade.unknown', {});
      assert.deepEqual([refused.code, refused.subCode], ['40002', 'isv.invalid-method']);
    });
  });
}
