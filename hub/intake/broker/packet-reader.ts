import type { Client } from 'aedes';

interface ParserInternals {
  error: Error | null;
  readonly packet: { readonly length: number };
  _parseLength(): boolean;
  _emitError(error: Error): boolean;
}

function parserOf(client: Client): ParserInternals {
  // aedes has no option for the packet size (mqtt-packet takes up to 256 MiB): its parser is the
  // only place that knows the length before the packet is in memory
  return (client as unknown as { readonly _parser: ParserInternals })._parser;
}

/** Ends the connection of a client that announces a packet over the limit, before it is read. */
export function limitPacketBytes(client: Client, bytesMax: number, refused: () => void): void {
  const parser = parserOf(client);
  const parseLength = parser._parseLength;
  parser._parseLength = function limited() {
    if (!parseLength.call(this)) return false;
    if (this.packet.length <= bytesMax) return true;
    refused();
    return this._emitError(new Error(`packet of ${this.packet.length} bytes, limit ${bytesMax}`));
  };
}
