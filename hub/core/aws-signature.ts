/** Signs requests to AWS and what speaks like it (Signature Version 4). */

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
}

export interface AwsRequest {
  readonly method: string;
  readonly url: URL;
  /** All of these are signed, but for `content-type`. */
  readonly headers: Readonly<Record<string, string>>;
  /** In hexadecimal digits. The far side compares what it gets with it. */
  readonly bodySha256: string;
  readonly service: string;
  readonly region: string;
  /** When it is signed, in ms since 1970. A far side refuses what is minutes off its own clock. */
  readonly timeMs: number;
}

/** Derived keys by day, region and service: they are the same for every request of a day. */
export type SigningKeys = Map<string, ArrayBuffer>;

/** A hub that is up for years would gather one key a day. */
const KEYS_MAX = 16;

/** `headers` and those that make them a signed request. The library is loaded at the first call. */
export async function signedHeaders(
  request: AwsRequest,
  credentials: AwsCredentials,
  keys: SigningKeys,
): Promise<Record<string, string>> {
  const { AwsV4Signer } = await import('aws4fetch');
  if (keys.size >= KEYS_MAX) keys.clear();
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const signer = new AwsV4Signer({
    method: request.method,
    url: request.url.href,
    headers: { ...request.headers, 'x-amz-content-sha256': request.bodySha256 },
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    service: request.service,
    region: request.region,
    datetime: new Date(request.timeMs).toISOString().replaceAll(/[:-]|\.\d{3}/g, ''),
    cache: keys,
  });
  const { headers } = await signer.sign();
  return Object.fromEntries(headers);
}
