// The address of a bill, as the official SDK gets it, and the archive behind it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import { MODES, World } from './world.js';

const DAY_MS = 24 * 3600 * 1000;

/** Today in China on the simulator's clock. */
async function today(world) {
  const { now } = await world.ctl('clock', { advance_ms: 0 });
  return new Date(Date.parse(now) + 8 * 3600 * 1000).toISOString().slice(0, 10);
}

/** The unpacked files of an archive, as text in GBK. */
function unzip(archive) {
  const files = [];
  for (let at = 0; archive.readUInt32LE(at) === 0x04034b50;) {
    const start = at + 30 + archive.readUInt16LE(at + 26) + archive.readUInt16LE(at + 28);
    const end = start + archive.readUInt32LE(at + 18);
    files.push(new TextDecoder('gbk').decode(inflateRawSync(archive.subarray(start, end))));
    at = end;
  }
  return files;
}

for (const name of ['public keys, PKCS#8', 'certificates']) {
  describe(`bills: ${name}`, () => {
    let world;
    before(async () => { world = await World.open(MODES[name]); });
    after(() => world.close());
    const address = date => world.call(
      'data.dataservice.bill.downloadurl.query', { bill_type: 'trade', bill_date: date });

    test('a day that is over has a bill with each payment and refund', async () => {
      const date = await today(world);
      await world.paid('B1');
      const refund = { out_trade_no: 'B1', refund_amount: '8.00', out_request_no: 'R1' };
      assert.equal((await world.trade('refund', refund)).fundChange, 'Y');
      assert.equal((await address(date)).subCode, 'BILL_NOT_EXIST');
      await world.ctl('clock', { advance_ms: DAY_MS });
      const answer = await address(date);
      assert.equal(answer.code, '10000', JSON.stringify(answer));
      const response = await fetch(answer.billDownloadUrl);
      assert.equal(response.status, 200);
      const [one, two] = unzip(Buffer.from(await response.arrayBuffer()));
      const details = [one, two].find(text => text.includes('商户订单号'));
      const lines = details.split('\r\n').filter(line => line.includes('B1'));
      assert.equal(lines.length, 2, details);
      assert.ok(lines.some(line => line.includes('交易') && line.includes('88.88')));
      assert.ok(lines.some(line => line.includes('退款') && line.includes('-8.00')));
    });
  });
}
