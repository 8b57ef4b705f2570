/**
 * Which network interface the way to a far side leaves by. Nothing is sent to find out: a UDP
 * socket that is connected gets the local address that the routing table gives it.
 */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** How old an answer of the routing table may be: a plugged cable counts within this. */
const ROUTE_AGE_MAX_MS = 5_000;
/** Asking for the address costs bytes on the link that is to be spared. */
const ADDRESS_AGE_MAX_MS = 600_000;
const DNS_TIMEOUT_MS = 3_000;
/** Any port: nothing is sent to it. */
const PORT = 9;

/** What the operating system is asked. */
export interface RouteSystem {
  /** The address of a host name. May take long, or for ever. */
  addressOf(host: string): Promise<string>;
  /** The local address that packets to `address` would carry. */
  localAddressFor(address: string): Promise<string>;
  /** The interface that has it. */
  interfaceWith(localAddress: string): string | undefined;
}

export interface RouteOptions {
  /** A name or an address, without a port. */
  readonly host: string;
  monotonicMs(): number;
  readonly system?: RouteSystem;
}

export class Route {
  /** Told when the interface is another one. */
  changed: ((networkInterface: string | undefined) => void) | undefined;
  readonly #options: RouteOptions;
  readonly #system: RouteSystem;
  #interface: string | undefined;
  #address: string | undefined;
  #addressMs = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #resolving: Promise<void> | undefined;

  constructor(options: RouteOptions) {
    this.#options = options;
    this.#system = options.system ?? SYSTEM;
  }

  /** The interface as it was found last; looks again when that was some seconds ago. */
  get networkInterface(): string | undefined {
    if (this.#options.monotonicMs() - this.#askedMs >= ROUTE_AGE_MAX_MS) void this.look();
    return this.#interface;
  }

  /** The far side was not reached: the address or the route may be another one. */
  failed(): void {
    this.#addressMs = Number.NEGATIVE_INFINITY;
    this.#askedMs = Number.NEGATIVE_INFINITY;
  }

  /** Looks now. Ends within a deadline and never throws: what cannot be found is not known. */
  look(): Promise<void> {
    this.#asking ??= this.#look().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #look(): Promise<void> {
    this.#askedMs = this.#options.monotonicMs();
    const ageMs = this.#askedMs - this.#addressMs;
    if (this.#address === undefined || ageMs >= ADDRESS_AGE_MAX_MS) await this.#resolve();
    const found = await this.#find();
    if (found === this.#interface) return;
    this.#interface = found;
    this.changed?.(found);
  }

  async #find(): Promise<string | undefined> {
    if (this.#address === undefined) return undefined;
    try {
      return this.#system.interfaceWith(await this.#system.localAddressFor(this.#address));
    } catch {
      return undefined; // no route: nothing can be sent either
    }
  }

  /** Without an answer the address of last time is as good as any. */
  async #resolve(): Promise<void> {
    // a lookup cannot be called off: one that hangs is not asked again, only waited for no longer
    this.#resolving ??= this.#system
      .addressOf(this.#options.host)
      .then(
        (address) => {
          this.#address = address;
          this.#addressMs = this.#options.monotonicMs();
        },
        () => undefined,
      )
      .finally(() => {
        this.#resolving = undefined;
      });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DNS_TIMEOUT_MS);
    });
    await Promise.race([this.#resolving, late]);
    clearTimeout(timer);
  }
}

const SYSTEM: RouteSystem = {
  async addressOf(host) {
    return isIP(host) ? host : (await lookup(host)).address;
  },

  localAddressFor: (address) =>
    new Promise((resolve, reject) => {
      const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
      socket.unref();
      socket.once('error', (error) => {
        socket.close();
        reject(error);
      });
      socket.connect(PORT, address, () => {
        const local = socket.address().address;
        socket.close();
        resolve(local);
      });
    }),

  interfaceWith(localAddress) {
    const [plain] = localAddress.split('%'); // fe80::1%eth0
    for (const [name, addresses] of Object.entries(networkInterfaces())) {
      if (addresses?.some(({ address }) => address === plain)) return name;
    }
    return undefined;
  },
};
