/** AWS Signature Version 4, worked out from its specification with nothing but node:crypto. */
import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface SignedRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
}

const AUTHORIZATION = new RegExp(
  [
    '^AWS4-HMAC-SHA256 Credential=([^/]+)/(\\d{8})/([^/]+)/([^/]+)/aws4_request',
    'SignedHeaders=([^,]+)',
    'Signature=([0-9a-f]{64})$',
  ].join(', ?'),
);

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest();

function canonicalQuery(target: string): string {
  const query = target.split('?')[1] ?? '';
  const pairs = query === '' ? [] : query.split('&').map((pair) => pair.split('='));
  return pairs
    .map(([key = '', value = '']) => `${key}=${value}`)
    .sort()
    .join('&');
}

/** What is wrong with the signature, in S3's words; undefined when it is the right one. */
export function signatureProblem(
  request: SignedRequest,
  account: { readonly accessKeyId: string; readonly secretAccessKey: string },
): string | undefined {
  const { method, target, headers } = request;
  const parts = AUTHORIZATION.exec(headers.authorization ?? '');
  if (!parts) return 'AccessDenied';
  const [, keyId, day = '', region = '', service = '', names = '', signature] = parts;
  if (keyId !== account.accessKeyId) return 'InvalidAccessKeyId';
  const canonical = [
    method,
    target.split('?')[0],
    canonicalQuery(target),
    ...names.split(';').map((name) => `${name}:${String(headers[name]).trim()}`),
    '',
    names,
    String(headers['x-amz-content-sha256']),
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${headers['x-amz-date']}\n${scope}\n${sha256(canonical)}`;
  const ofDay = hmac(`AWS4${account.secretAccessKey}`, day);
  const key = hmac(hmac(hmac(ofDay, region), service), 'aws4_request');
  return hmac(key, toSign).toString('hex') === signature ? undefined : 'SignatureDoesNotMatch';
}
