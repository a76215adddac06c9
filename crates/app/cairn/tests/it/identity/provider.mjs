// An OpenID Connect provider that keeps to the letter: `node provider.mjs CALLBACK...` prints where it
// is. The callbacks are the only addresses that browsers are sent back to.
//
// POST /keys/rotate makes it sign with new keys and forget the old ones.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const redirect_uris = process.argv.slice(2);
const device = 'urn:ietf:params:oauth:grant-type:device_code';
const login = { redirect_uris, grant_types: ['authorization_code', device] };

// What stands in a secret must survive both its encodings.
const clients = [
  { client_id: 'cairn app', client_secret: 'a:b/c+d %&=?', ...login },
  {
    client_id: 'public', token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256',
    ...login,
  },
  {
    client_id: 'robot', client_secret: 'robot secret', redirect_uris: [], response_types: [],
    grant_types: ['client_credentials'],
  },
];

function keys() {
  const made = [
    ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ];
  return made.map(([alg, pair]) => (
    { ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID() }
  ));
}

async function findAccount(_, sub) {
  return {
    accountId: sub,
    // All but `sub` is told at the userinfo endpoint, not in the id token.
    claims: async () => ({
      sub, email: `${sub}@example.org`, email_verified: sub !== 'unverified', groups: ['staff', 'R&D'],
    }),
  };
}

function getResourceServerInfo(_, resource) {
  return { audience: resource, scope: '', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
}

function provider(issuer) {
  return new Provider(issuer, {
    clients,
    findAccount,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['groups'] },
    cookies: { keys: [randomUUID()] },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo },
    },
    jwks: { keys: keys() },
    pkce: { required: () => true },
  });
}

let answer;
const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/keys/rotate') {
    answer = provider(issuer).callback();
    response.writeHead(204).end();
    return;
  }
  answer(request, response);
});
await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
const issuer = `http://localhost:${server.address().port}`;
answer = provider(issuer).callback();
console.log(issuer);
