/** Server-sent events from text chunks (WHATWG HTML, 9.2.6), for a stream that fetch() reads. */

export interface StreamEvent {
  readonly event: string;
  readonly data: string;
}

/** One event of the hub is at most all latest values: 5,000 of them take about 1.5 MB. */
const BUFFERED_CHARS_MAX = 8_000_000;

export interface SseParser {
  /** Takes the next chunk. Throws when one event is larger than the parser holds. */
  push(chunk: string): void;
}

/**
 * Comments (the heartbeat), ids and retry hints are read over: the hub's page needs none of them.
 */
export function sseParser(onEvent: (event: StreamEvent) => void): SseParser {
  let buffer = '';
  let event = '';
  let data: string[] = [];
  let dataChars = 0;

  function dispatch(): void {
    if (data.length > 0)
      onEvent({ event: event === '' ? 'message' : event, data: data.join('\n') });
    event = '';
    data = [];
    dataChars = 0;
  }

  function line(text: string): void {
    if (text === '') {
      dispatch();
      return;
    }
    const colon = text.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? text : text.slice(0, colon);
    const raw = colon < 0 ? '' : text.slice(colon + 1);
    const value = raw.startsWith(' ') ? raw.slice(1) : raw;
    if (field === 'event') event = value;
    if (field === 'data') {
      dataChars += value.length;
      data.push(value);
    }
  }

  return {
    push(chunk) {
      buffer += chunk;
      let start = 0;
      for (;;) {
        const lf = buffer.indexOf('\n', start);
        const cr = buffer.indexOf('\r', start);
        const end = cr < 0 ? lf : lf < 0 ? cr : Math.min(lf, cr);
        // A CR at the very end may be the first half of CRLF: it waits for the next chunk.
        if (end < 0 || (end === cr && cr === buffer.length - 1)) break;
        line(buffer.slice(start, end));
        start = end + (end === cr && buffer[end + 1] === '\n' ? 2 : 1);
      }
      buffer = buffer.slice(start);
      if (buffer.length + dataChars > BUFFERED_CHARS_MAX)
        throw new Error('The hub sent an event that is too large for this page.');
    },
  };
}
