import { createFormat } from '../format/create.ts';
import { topicTemplate } from '../format/topic.ts';
import { FrameSession } from './frame-session.ts';
import { createFramer } from './framing/create.ts';
import type { SessionFactory } from './session.ts';
import type { SerialOptions } from './spec.ts';

async function linkSessions({ topic }: SerialOptions): Promise<SessionFactory> {
  const { linkFactory } = await import('../link/factory.ts');
  return linkFactory({
    topic: (bridgeId, device, metric) => topicTemplate(topic, bridgeId).fill({ device, metric }),
    random: Math.random,
  });
}

/** What speaks on a port with these options. */
export async function sessionFactory(options: SerialOptions): Promise<SessionFactory> {
  if (options.format === 'link') return await linkSessions(options);
  const format = await createFormat(options.format, options);
  const { write } = options;
  const checksum = options.checksum ?? (options.format === 'nmea' ? 'nmea' : 'none');
  return {
    owns: (device, bridgeId) =>
      write !== undefined && (write.devices ?? [bridgeId]).includes(device),
    open: (bridgeId) =>
      new FrameSession({
        framer: createFramer({ ...options, checksum }),
        format,
        topic: topicTemplate(options.topic, bridgeId),
        frameTimeoutMs: options.frame_timeout,
        expect: write?.expect === undefined ? undefined : new RegExp(write.expect, 'u'),
        answerTimeoutMs: write?.timeout ?? 0,
      }),
  };
}
