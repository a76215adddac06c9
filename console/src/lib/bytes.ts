// Bytes and text of strangers, as they can be looked at.
const PICTURES = 0x2400

/** Whether bytes are no text: a zero among the first few thousand, as grep tells. */
export const binary = (content: Uint8Array) => content.subarray(0, 8192).includes(0)

/** Bytes in hexadecimal, sixteen a line, with what of them is text beside. */
export function dump(content: Uint8Array): string[] {
  const rows: string[] = []
  for (let from = 0; from < content.length; from += 16) {
    const row = [...content.subarray(from, from + 16)]
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '·')).join('')
    rows.push(`${from.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${text}`)
  }
  return rows
}

/**
 * What is not seen: marks that turn the order of letters, spaces of no width, the end of a line that is none, controls, letters
 * of tags. What joins letters is part of how languages are written, and stays.
 */
const UNSEEN = /[\x80-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu

/** Text in which nothing hides: what controls a terminal is drawn, what is not seen is named. */
export function plain(text: string): string {
  return text
    .replace(/[\0-\x08\x0b-\x1f\x7f]/g, (control) => (control === '\x7f' ? '␡' : String.fromCharCode(PICTURES + control.charCodeAt(0))))
    .replace(UNSEEN, (mark) => `⟨U+${(mark.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`)
}
