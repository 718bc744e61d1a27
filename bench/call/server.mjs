// A WeChat Pay that costs next to nothing: it signs one answer in advance, and gives it to everybody.
import { createSign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { privateKeyFile, serial, policy } = JSON.parse(process.argv[2] ?? '{}');
const key = readFileSync(privateKeyFile, 'utf8');
const body = JSON.stringify(policy);
/** An answer is refused after five minutes. */
const AGAIN_MS = 60_000;

let headers = signed();
setInterval(() => {
  headers = signed();
}, AGAIN_MS).unref();

function signed() {
  const [timestamp, nonce] = [String(Math.floor(Date.now() / 1000)), 'f'.repeat(32)];
  const signature = createSign('RSA-SHA256').update(`${timestamp}\n${nonce}\n${body}\n`).sign(key, 'base64');
  return {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Request-ID': '08F78BB5AF0610D302',
    'Wechatpay-Nonce': nonce,
    'Wechatpay-Serial': serial,
    'Wechatpay-Signature': signature,
    'Wechatpay-Timestamp': timestamp,
  };
}

const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    response.writeHead(200, headers);
    response.end(body);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })));
