// A running simulator, a merchant with the official SDK, and the merchant's webhook.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { AlipaySdk } from 'alipay-sdk';

const PATIENCE_MS = 20_000;
const APP_ID = '2021000000000001';
const root = new URL('../../', import.meta.url);
const binary = process.env.ALIPAY_SIMULATOR
  ?? new URL('target/debug/alipay-simulator', root).pathname;
const keyFile = name => new URL(`alipay-simulator/keys/${name}`, root).pathname;
const key = name => readFileSync(keyFile(name), 'utf8');
const publicKeys = {
  alipayPublicKey: key('gateway_public_key.pem'),
};

/** What differs between the ways to be a merchant. */
export const MODES = {
  'public keys, PKCS#8': {
    flags: [],
    config: { privateKey: key('app_private_key.pem'), keyType: 'PKCS8', ...publicKeys },
  },
  'public keys, PKCS#1': {
    flags: [],
    config: { privateKey: key('app_private_key_pkcs1.pem'), keyType: 'PKCS1', ...publicKeys },
  },
  certificates: {
    flags: [
      '--app-cert', keyFile('app_cert.crt'),
      '--alipay-cert', keyFile('gateway_cert.crt'),
      '--alipay-root-cert', keyFile('root_cert.crt'),
    ],
    config: {
      privateKey: key('app_private_key.pem'),
      keyType: 'PKCS8',
      appCertContent: key('app_cert.crt'),
      alipayPublicCertContent: key('gateway_cert.crt'),
      alipayRootCertContent: key('root_cert.crt'),
    },
  },
};

/** Waits for a condition and returns what it came to. */
export async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`still not so: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

export class World {
  static async open(mode) {
    const world = new World();
    const flags = ['--listen', '127.0.0.1:0', ...mode.flags];
    const env = { ...process.env, RUST_LOG: 'warn' };
    world.child = spawn(binary, flags, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    world.child.on('error', error => { throw error; });
    const [line] = await once(createInterface(world.child.stdout), 'line');
    const [, gateway, control] = line.match(/^alipay-simulator: (\S+) \(control API (\S+)\)$/);
    world.control = control;
    world.endpoint = new URL(gateway).origin;
    const { endpoint } = world;
    world.sdk = new AlipaySdk({ appId: APP_ID, gateway, endpoint, ...mode.config });
    await world.listen();
    return world;
  }

  /** Answers `success` to every notification and keeps it. */
  async listen() {
    this.notifications = [];
    this.webhook = createServer(async (request, response) => {
      const chunks = await request.toArray();
      this.notifications.push(Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString())));
      response.end('success');
    });
    await once(this.webhook.listen(0, '127.0.0.1'), 'listening');
    this.notifyUrl = `http://127.0.0.1:${this.webhook.address().port}/notify`;
  }

  async close() {
    this.webhook.close();
    this.webhook.closeAllConnections();
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await ended;
  }

  /** Calls the gateway through the SDK, which verifies the answer. */
  call(method, bizContent) {
    const params = { notify_url: this.notifyUrl, bizContent };
    return this.sdk.exec(`alipay.${method}`, params, { validateSign: true });
  }

  trade(method, bizContent) {
    return this.call(`trade.${method}`, bizContent);
  }

  async paid(number, amount = '88.88') {
    const order = { out_trade_no: number, total_amount: amount, subject: SUBJECT };
    await this.trade('precreate', order);
    await this.ctl('pay', { out_trade_no: number });
  }

  async ctl(path, body) {
    const options = { method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(`${this.control}/${path}`, options);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  async clearFaults() {
    const response = await fetch(`${this.control}/faults`, { method: 'DELETE' });
    if (!response.ok) throw new Error(`the faults stay: ${response.status}`);
  }

  /** The notifications about a trade, once there are this many. */
  notified(number, count) {
    return until(`${count} notifications of ${number}`, () => {
      const about = this.notifications.filter(form => form.out_trade_no === number);
      return about.length >= count && about;
    });
  }
}

/** Every character that encodings, signatures and JSON scanners stumble over. */
export const SUBJECT = '中文 50%off a+b&c=/ "q" {x} \\ 😀';
