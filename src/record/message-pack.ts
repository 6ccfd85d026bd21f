/**
 * Walks MessagePack bytes without building anything, before the decoder may see them. The decoder allocates arrays of
 * the length that a header claims (five bytes can ask for gigabytes, nested ones for the square of the message) and
 * takes invalid UTF-8 for text. After this walk every claimed length is known to be there, every string is UTF-8, and
 * the border and depth of each record of a batch are known, so that a bad one can be set apart from its neighbours.
 */
import { isUtf8 } from 'node:buffer';

/** One record of a message: `bytes.subarray(start, end)`. */
export interface Element {
  start: number;
  end: number;
  /** Levels of maps and arrays, the record itself being level 1; 0 where it is neither. */
  depth: number;
}

/**
 * The record or the records of a message; undefined where the bytes are not exactly one MessagePack map or array.
 */
export function messagePackElements(bytes: Uint8Array): Element[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const head = bytes[0];
  let position = 0;
  let count = -1;
  if ((head >= 0x80 && head <= 0x8f) || head === 0xde || head === 0xdf) {
    count = 1;
  } else if (head >= 0x90 && head <= 0x9f) {
    count = head & 0x0f;
    position = 1;
  } else if (head === 0xdc && bytes.length >= 3) {
    count = view.getUint16(1);
    position = 3;
  } else if (head === 0xdd && bytes.length >= 5) {
    count = view.getUint32(1);
    position = 5;
  }

  const elements: Element[] = [];
  for (let index = 0; index < count; index++) {
    const element = walk(bytes, view, position);
    if (element === undefined) return undefined;
    elements.push(element);
    position = element.end;
  }
  return count >= 0 && position === bytes.length ? elements : undefined;
}

/** Walks the one value that begins at `start`; undefined where it is cut off, unknown, or holds text that is not UTF-8. */
function walk(bytes: Uint8Array, view: DataView, start: number): Element | undefined {
  const length = bytes.length;
  let position = start;
  let depth = 0;
  // How many values are still to come in each open map or array, outermost first. A message of n bytes opens at most n.
  const open: number[] = [];
  for (;;) {
    if (position >= length) return undefined;
    const head = bytes[position++];
    let skip = 0;
    let children = 0;
    let container = false;
    let textual = false;
    if (head <= 0x7f || head >= 0xe0) {
      // A small integer is its own head.
    } else if (head <= 0x8f) {
      container = true;
      children = 2 * (head & 0x0f);
    } else if (head <= 0x9f) {
      container = true;
      children = head & 0x0f;
    } else if (head <= 0xbf) {
      textual = true;
      skip = head & 0x1f;
    } else {
      const sizeBytes = SIZE_BYTES[head - 0xc0];
      if (sizeBytes < 0 || position + sizeBytes > length) return undefined;
      let size = 0;
      if (sizeBytes === 1) size = bytes[position];
      else if (sizeBytes === 2) size = view.getUint16(position);
      else if (sizeBytes === 4) size = view.getUint32(position);
      position += sizeBytes;
      container = head >= 0xdc;
      textual = head >= 0xd9 && head <= 0xdb;
      if (container) children = head >= 0xde ? 2 * size : size;
      else skip = size + FIXED_BYTES[head - 0xc0];
    }
    if (skip > length - position) return undefined;
    if (textual && !isText(bytes, view, position, skip)) return undefined;
    position += skip;

    if (container) depth = Math.max(depth, open.length + 1);
    if (children > 0) {
      open.push(children);
      continue;
    }
    while (open.length > 0 && --open[open.length - 1] === 0) open.pop();
    if (open.length === 0) return { start, end: position, depth };
  }
}

/** Bytes of the length field behind the heads 0xc0 to 0xdf; -1 for the head that the format never uses. */
const SIZE_BYTES = [
  ...[0, -1, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0],
  ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4],
];
/** Bytes behind the length field that the head alone tells: numbers, and the type byte of extensions. */
const FIXED_BYTES = [
  ...[0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 8, 1, 2, 4, 8],
  ...[1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0],
];

/** Most strings are ASCII and short; four bytes at a time show that without a call into the runtime. */
function isText(bytes: Uint8Array, view: DataView, start: number, length: number): boolean {
  const end = start + length;
  let position = start;
  for (; position + 4 <= end; position += 4) {
    if ((view.getUint32(position) & 0x80808080) !== 0) return isUtf8(bytes.subarray(start, end));
  }
  for (; position < end; position++) {
    if (bytes[position] >= 0x80) return isUtf8(bytes.subarray(start, end));
  }
  return true;
}
