import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { signedHeaders } from '../../hub/core/aws-signature.ts';
import { signatureProblem } from '../support/sigv4-oracle.ts';

/** The examples that AWS publishes for S3 ("Signature Calculations: Authorization Header"). */
const CREDENTIALS = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const AT = {
  service: 's3',
  region: 'us-east-1',
  timeMs: Date.UTC(2013, 4, 24),
} as const;
const HOST = 'https://examplebucket.s3.amazonaws.com';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const EXAMPLES = [
  {
    method: 'PUT',
    target: '/test%24file.text',
    headers: { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
    body: 'Welcome to Amazon S3.',
    signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  },
  {
    method: 'GET',
    target: '/?lifecycle=',
    headers: {},
    body: '',
    signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  },
  {
    method: 'GET',
    target: '/?max-keys=2&prefix=J',
    headers: {},
    body: '',
    signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  },
];

for (const { method, target, headers, body, signature } of EXAMPLES) {
  test(`aws: the signature of AWS's own example ${method} ${target}`, async () => {
    const url = new URL(target, HOST);
    const signed = await signedHeaders(
      { ...AT, method, url, headers, bodySha256: sha256(body) },
      CREDENTIALS,
      new Map(),
    );
    assert.match(signed['authorization'] ?? '', new RegExp(`Signature=${signature}$`));
    assert.equal(signed['x-amz-date'], '20130524T000000Z');
    const seen = { method, target, headers: { ...signed, host: url.host } };
    assert.equal(signatureProblem(seen, CREDENTIALS), undefined, 'the oracle of the tests agrees');
  });
}

test('aws: the oracle refuses another method, path, header, body hash, secret and key', async () => {
  const url = new URL('/a/b', HOST);
  const request = { ...AT, method: 'PUT', url, headers: { 'x-amz-meta-a': '1' }, bodySha256: 'ab' };
  const signed = { ...(await signedHeaders(request, CREDENTIALS, new Map())), host: url.host };
  const seen = { method: 'PUT', target: '/a/b', headers: signed };
  assert.equal(signatureProblem(seen, CREDENTIALS), undefined);
  const wrong = 'SignatureDoesNotMatch';
  assert.equal(signatureProblem({ ...seen, method: 'GET' }, CREDENTIALS), wrong);
  assert.equal(signatureProblem({ ...seen, target: '/a/c' }, CREDENTIALS), wrong);
  const header = { ...signed, 'x-amz-meta-a': '2' };
  assert.equal(signatureProblem({ ...seen, headers: header }, CREDENTIALS), wrong);
  const hash = { ...signed, 'x-amz-content-sha256': 'ac' };
  assert.equal(signatureProblem({ ...seen, headers: hash }, CREDENTIALS), wrong);
  assert.equal(signatureProblem(seen, { ...CREDENTIALS, secretAccessKey: 'x' }), wrong);
  const other = signatureProblem(seen, { ...CREDENTIALS, accessKeyId: 'x' });
  assert.equal(other, 'InvalidAccessKeyId');
});

test('aws: temporary credentials carry their token, and derived keys are used again', async () => {
  const keys = new Map<string, ArrayBuffer>();
  const url = new URL('/a', HOST);
  const request = { ...AT, method: 'PUT', url, headers: {}, bodySha256: sha256('') };
  const credentials = { ...CREDENTIALS, sessionToken: 'tok' };
  const signed = await signedHeaders(request, credentials, keys);
  assert.equal(signed['x-amz-security-token'], 'tok');
  const seen = { method: 'PUT', target: '/a', headers: { ...signed, host: url.host } };
  assert.equal(signatureProblem(seen, credentials), undefined);
  await signedHeaders(request, credentials, keys);
  assert.equal(keys.size, 1);
  for (let day = 1; day <= 40; day++)
    await signedHeaders({ ...request, timeMs: AT.timeMs + day * 86_400_000 }, credentials, keys);
  assert.ok(keys.size <= 16, `${keys.size} keys after 40 days`);
});
