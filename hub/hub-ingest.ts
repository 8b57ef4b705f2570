import type { HubConfig } from '../config/schema.ts';
import type { IngestView } from './api/view.ts';
import { HttpIngest } from './intake/http-ingest.ts';
import type { Intake } from './intake/intake.ts';
import type { DurableLog } from './log/durable-log.ts';

/** The way in over HTTP, with the limits that MQTT has. */
export function ingestView(
  { mqtt, log: { commit } }: Pick<HubConfig, 'mqtt' | 'log'>,
  { intake, log }: { readonly intake: Intake; readonly log: DurableLog },
): IngestView {
  const { packet_bytes_max, topic_bytes_max, topic_levels_max } = mqtt.limits;
  const ingest = new HttpIngest({
    intake,
    log,
    limits: {
      packetBytesMax: packet_bytes_max,
      topicBytesMax: topic_bytes_max,
      topicLevelsMax: topic_levels_max,
    },
  });
  return {
    durable: commit.durability === 'fsync',
    messageBytesMax: ingest.messageBytesMax,
    topicProblem: (topic) => ingest.topicProblem(topic),
    accept: (messages, signal) => ingest.accept(messages, signal),
  };
}
