import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { AccessSettings } from '../codec/access.ts';
import { bearer, post, sealedPayload, servers, toldOf, UI, WRITER } from './codec_server_fixture.ts';

const { started, closers } = servers();

describe('the codec server takes the access token that the UI passes on', async () => {
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  const stranger = await generateKeyPair('RS256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256' };
  const provider: Server = createServer((_, response) => response.end(JSON.stringify({ keys: [jwk] })));
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  closers.push(() => provider.close());
  const jwks = new URL(`http://127.0.0.1:${(provider.address() as AddressInfo).port}/jwks`);
  const claim = { name: 'groups', values: ['policy-readers', 'auditors'] };
  const signedIn: AccessSettings['signedIn'] = { jwks, issuer: 'https://id.test/', audience: 'temporal', claim };
  const server = await started({ signedIn, tokens: { encode: [WRITER] } });

  const token = (changes: Record<string, unknown> = {}, key = privateKey, expires = '5m') =>
    new SignJWT({ groups: ['policy-readers'], iss: 'https://id.test/', aud: 'temporal', sub: 'anna', ...changes })
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .setExpirationTime(expires)
      .sign(key);
  const answer = async (path: string, jwt: string) =>
    (await post(server, path, { payloads: [sealedPayload()] }, { ...bearer(jwt), origin: UI })).status;

  it('of a user who may, and says in the log who it was', async () => {
    assert.equal(await answer('/decode', await token()), 200);
    assert.equal((await toldOf(server, 1))[0]?.by, 'anna');
    assert.equal(await answer('/decode', await token({ groups: 'auditors' })), 200);
  });

  it('not of one who is in none of the groups, and not for sealing', async () => {
    assert.equal(await answer('/decode', await token({ groups: ['sales'] })), 403);
    assert.equal(await answer('/decode', await token({ groups: undefined })), 403);
    assert.equal(await answer('/encode', await token()), 401);
  });

  it('not one of another issuer, for another audience, of another key, or out of date', async () => {
    for (const wrong of [
      token({ iss: 'https://other.test/' }),
      token({ aud: 'billing' }),
      token({}, stranger.privateKey),
      token({}, privateKey, '-1m'),
      Promise.resolve('not.a.token-at-all'),
    ])
      assert.equal(await answer('/decode', await wrong), 401);
  });

  it('and says when the provider’s keys cannot be had', async () => {
    const away = await started({ signedIn: { ...signedIn, jwks: new URL('http://127.0.0.1:9/jwks') } });
    const { status, text } = await post(away, '/decode', { payloads: [] }, bearer(await token()));
    assert.deepEqual([status, text], [503, 'the keys of the identity provider cannot be had: try again later\n']);
  });
});
