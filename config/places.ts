/** Where things stand in the text, by their path in the data. Offsets count characters from 0. */
export interface Place {
  readonly valueOffset: number;
  /** Where the key is; absent for items of a list and for the file as a whole. */
  readonly keyOffset?: number;
  /** The value as written, when it may be shown: short, and neither secret nor from outside. */
  readonly written?: string;
}

type Path = readonly PropertyKey[];

export class Places {
  readonly #places = new Map<string, Place>();

  set(path: Path, place: Place): void {
    this.#places.set(JSON.stringify(path), place);
  }

  get(path: Path): Place | undefined {
    return this.#places.get(JSON.stringify(path));
  }

  /** Of the value at `path`; of the nearest mapping or list around it when it is not there. */
  valueOffset(path: Path): number {
    const place = this.get(path);
    return place?.valueOffset ?? this.headOffset(path.slice(0, -1));
  }

  /** Of the key at `path`: what a problem of everything under it points to. */
  headOffset(path: Path): number {
    for (let length = path.length; length > 0; length--) {
      const place = this.get(path.slice(0, length));
      if (place) return place.keyOffset ?? place.valueOffset;
    }
    return 0;
  }
}
