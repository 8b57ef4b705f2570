/** The width that the formatter of the repository keeps. */
const WIDTH = 100;

/** JSON as the formatter would write it: lists of plain values on one line where they fit. */
export function jsonText(value: unknown, indent = '', before = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    const plain = value.every((item) => typeof item !== 'object');
    const line = plain ? `[${value.map((item) => JSON.stringify(item)).join(', ')}]` : '';
    if (plain && indent.length + before + line.length < WIDTH) return line;
    const items = value.map((item) => `${inner}${jsonText(item, inner)}`);
    return `[\n${items.join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return '{}';
  const lines = entries.map(([key, item]) => {
    const name = `${JSON.stringify(key)}: `;
    return `${inner}${name}${jsonText(item, inner, name.length)}`;
  });
  return `{\n${lines.join(',\n')}\n${indent}}`;
}
