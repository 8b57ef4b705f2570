import mqemitter, { type MQEmitter } from 'mqemitter';

/** Deliveries that may be under way at a time, as aedes has it. */
const CONCURRENCY = 100;
const BROKER_TOPICS = '$SYS/';

/**
 * What aedes hands a publish to, for the subscribers. Most hubs have none: their devices only
 * publish. Then there is nothing to match a topic against, and this says so at once.
 */
export function fanOut(): MQEmitter {
  const emitter = mqemitter({ concurrency: CONCURRENCY, matchEmptyLevels: true });
  const { on, removeListener, emit } = emitter;
  // aedes may remove a listener twice (UNSUBSCRIBE, then the end of the connection): no plain count
  const listeners = new Set<unknown>();
  emitter.on = function counted(topic, listener, done) {
    if (!topic.startsWith(BROKER_TOPICS)) listeners.add(listener);
    return on.call(this, topic, listener, done);
  };
  emitter.removeListener = function counted(topic, listener, done) {
    listeners.delete(listener);
    removeListener.call(this, topic, listener, done);
  };
  emitter.emit = function toSubscribers(message, done) {
    if (listeners.size > 0 || message.topic.startsWith(BROKER_TOPICS)) {
      emit.call(this, message, done);
    } else {
      done?.();
    }
  };
  return emitter;
}
