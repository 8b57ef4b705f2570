/** The data of one event, on its way into object storage. */
export interface StoredObject {
  /** The same for the same event and content: storing it again overwrites it with itself. */
  readonly key: string;
  readonly content: Buffer;
  readonly type: string;
  /** In hexadecimal digits. */
  readonly sha256: string;
  readonly eventId: string;
  readonly topic: string;
  /** The number of the replay it is sent in: what was deleted since is stored again. */
  readonly replay?: number;
}

/** Where the data of large events goes. Shared by the sinks; never deletes anything. */
export interface ObjectStore {
  readonly id: string;
  /** What all keys begin with. */
  readonly prefix: string;
  /** What a consumer finds the object by. */
  urlOf(key: string): string;
  /** Connections for one sink. */
  open(): ObjectUploads;
}

/** What one sink stores. */
export interface ObjectUploads {
  /**
   * Resolves when the object is stored, with the bytes of it that were sent: 0 when it already was,
   * for whichever sink.
   * @throws HubError SINK_REJECTED when this object will never be taken; as a sink for all else.
   */
  put(object: StoredObject, signal: AbortSignal): Promise<number>;
  /** As of a sink. */
  wireBytes(): number;
  /** Also before the next try after a failure: whatever was wrong with the connections ends. */
  close(): void;
}
