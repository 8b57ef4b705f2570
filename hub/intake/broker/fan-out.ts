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
  let subscribers = 0;
  emitter.on = function counted(topic, listener, done) {
    if (!topic.startsWith(BROKER_TOPICS)) subscribers++;
    return on.call(this, topic, listener, done);
  };
  emitter.removeListener = function counted(topic, listener, done) {
    if (!topic.startsWith(BROKER_TOPICS)) subscribers--;
    removeListener.call(this, topic, listener, done);
  };
  emitter.emit = function toSubscribers(message, done) {
    if (subscribers > 0 || message.topic.startsWith(BROKER_TOPICS)) {
      emit.call(this, message, done);
    } else {
      done?.();
    }
  };
  return emitter;
}
