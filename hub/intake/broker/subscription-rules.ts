import type { Client, Subscription } from 'aedes';
import type { RefusalReason } from './refusals.ts';

/** Subscriptions of one client. Each publish is matched against all of them; dashboards use few. */
const SUBSCRIPTIONS_MAX = 100;

/** Which subscriptions a client may have. */
export class SubscriptionRules {
  readonly #topicRefusal: (topic: string) => RefusalReason | '';
  readonly #granted = new WeakSet<object>();
  /** Granted lately; those of a persistent session are the client's only when they are stored. */
  readonly #pending = new WeakMap<Client, Set<string>>();

  constructor(topicRefusal: (topic: string) => RefusalReason | '') {
    this.#topicRefusal = topicRefusal;
  }

  /** Why `subscription` is refused; empty when it is granted. */
  refusal(client: Client, subscription: Subscription): RefusalReason | '' {
    const { topic } = subscription;
    const refusal = this.#topicRefusal(topic) || this.#limit(client, topic);
    if (!refusal) this.#granted.add(subscription);
    return refusal;
  }

  /** Whether this very subscription was granted before. */
  isGranted(subscription: object): boolean {
    return this.#granted.has(subscription);
  }

  /** A SUBSCRIBE of the client has been answered. */
  settled(client: Client): void {
    this.#pending.delete(client);
  }

  #limit(client: Client, topic: string): RefusalReason | '' {
    const subscriptions: object = Reflect.get(client, 'subscriptions');
    const pending = this.#pending.get(client) ?? new Set();
    if (topic in subscriptions || pending.has(topic)) return '';
    const waiting = [...pending].filter((granted) => !(granted in subscriptions));
    if (Object.keys(subscriptions).length + waiting.length >= SUBSCRIPTIONS_MAX) {
      return 'subscription_limit';
    }
    this.#pending.set(client, pending.add(topic));
    return '';
  }
}
