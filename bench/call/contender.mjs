// One library in a process of its own. Told { method, callers, ms }, it makes calls, so many at once, for so long, and tells
// how many it made, in what time, and by how much CPU.
import { createPublicKey, randomBytes, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';

const { name, url, mchid, number, fields, merchantsFile, files, serials } = JSON.parse(process.argv[2] ?? '{}');
const PATH = '/v3/inspolicymgr/deduct/policies';
const text = (file) => readFileSync(file, 'utf8');

const makers = { ours, 'axios-plugin': axiosPlugin, 'node-v3': nodeV3, ky: byKy, fetch: byFetch, rsa };
const calls = await makers[name]();

process.on('message', async ({ method, callers, ms }) => {
  const [began, before] = [performance.now(), process.cpuUsage()];
  let made = 0;
  const caller = async () => {
    while (performance.now() - began < ms) {
      await calls[method]();
      made++;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const { user, system } = process.cpuUsage(before);
  process.send({ made, ms: performance.now() - began, cpu_ms: (user + system) / 1000 });
});
process.on('disconnect', () => process.exit());
process.send('ready');

async function ours() {
  const { readMerchants, WechatPay } = await import('../../dist/wechatpay/index.js');
  const client = new WechatPay((await readMerchants(merchantsFile)).merchants.get(mchid));
  return { GET: () => client.queryPolicy(number), PATCH: () => client.updatePolicy(number, fields) };
}

async function axiosPlugin() {
  const { Wechatpay } = await import('wechatpay-axios-plugin');
  const client = new Wechatpay({
    mchid,
    serial: serials.merchant,
    privateKey: text(files.merchantPrivate),
    certs: { [serials.wechatpay]: createPublicKey(text(files.wechatpayPublic)) },
    baseURL: url,
    proxy: false,
  });
  const policy = client.chain(`${PATH.slice(1)}/{out_insurance_no}`);
  const headers = { 'Wechatpay-Serial': serials.wechatpay };
  return {
    GET: () => policy.get({ out_insurance_no: number }),
    PATCH: () => policy.patch(fields, { out_insurance_no: number, headers }),
  };
}

/** It knows no PATCH, so it is measured by its POST; an answer is verified only when asked for. */
async function nodeV3() {
  const [library, transport] = ['wechatpay-node-v3', 'superagent'];
  const { default: loaded } = await import(library);
  const Pay = loaded.default ?? loaded;
  const client = new Pay({
    appid: 'wx0',
    mchid,
    serial_no: serials.merchant,
    publicKey: Buffer.from(text(files.merchantCertificate)),
    privateKey: Buffer.from(text(files.merchantPrivate)),
  });
  Pay.certificates = { [serials.wechatpay]: text(files.wechatpayPublic) };
  let answered;
  // Its own requests drop the headers of the answer, which a verification needs.
  const { default: superagent } = await import(transport);
  const path = `${PATH}/${number}`;
  const signed = (method, body) => client.getHeaders(client.buildAuthorization(method, path, body));
  const verified = async ({ headers, text: body }) => {
    const header = (of) => headers[`wechatpay-${of}`];
    const [timestamp, nonce, serial, signature] = ['timestamp', 'nonce', 'serial', 'signature'].map(header);
    answered = await client.verifySign({ timestamp, nonce, serial, signature, body });
    if (!answered) throw new Error('wechatpay-node-v3 does not verify');
  };
  return {
    GET: async () => verified(await superagent.get(`${url}${path}`).set(signed('GET'))),
    PATCH: async () => verified(await superagent.post(`${url}${path}`).send(fields).set(signed('POST', fields))),
  };
}

/** The same requests and answers by the HTTP library that ours uses, neither signed nor verified. */
async function byKy() {
  const { default: ky } = await import('ky');
  return unsigned((to, init) =>
    ky(to, { ...init, retry: 0, timeout: false, throwHttpErrors: false, redirect: 'manual' }),
  );
}

/** The same with nothing but what Node has. */
async function byFetch() {
  return unsigned(fetch);
}

function unsigned(send) {
  const headers = {
    Accept: 'application/json',
    'Wechatpay-Serial': serials.wechatpay,
    Authorization: `WECHATPAY2-SHA256-RSA2048 mchid="${mchid}",signature="${'a'.repeat(344)}"`,
  };
  const call = async (init) => {
    const response = await send(`${url}${PATH}/${number}`, init);
    JSON.parse(Buffer.from(await response.arrayBuffer()).toString());
  };
  const body = JSON.stringify(fields);
  return {
    GET: () => call({ method: 'GET', headers }),
    PATCH: () => call({ method: 'PATCH', body, headers: { ...headers, 'Content-Type': 'application/json' } }),
  };
}

/** What cannot be had for less: a signature of the request, and a verification of the answer. */
async function rsa() {
  const { createPrivateKey } = await import('node:crypto');
  const [own, other] = [createPrivateKey(text(files.merchantPrivate)), createPrivateKey(text(files.wechatpayPrivate))];
  const theirs = createPublicKey(text(files.wechatpayPublic));
  const answer = randomBytes(600);
  const signature = sign('RSA-SHA256', answer, other);
  const both = async () => {
    await new Promise((resolve, reject) => {
      sign('RSA-SHA256', randomBytes(200), own, (error, made) => (error ? reject(error) : resolve(made)));
    });
    verify('RSA-SHA256', answer, theirs, signature);
  };
  return { GET: both, PATCH: both };
}
