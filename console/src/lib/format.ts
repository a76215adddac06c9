// Numbers and times as people read them.
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
const NUMBER = new Intl.NumberFormat('en')
const DATE = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' })
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
const SPANS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
]

/** `1536` as `1.5 KiB`. */
export function bytes(count: number): string {
  let value = count
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${value.toFixed(digits)} ${UNITS[unit]}`
}

export const number = (value: number) => NUMBER.format(value)

export const percent = (part: number, whole: number) => (whole > 0 ? `${Math.round((100 * part) / whole)} %` : '–')

/** `2 files`, `1 file`. */
export const many = (count: number, one: string, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`

export const date = (ms: number) => DATE.format(ms)

/** `3 hours ago`, `in 2 days`. */
export function ago(ms: number, now = Date.now()): string {
  const seconds = (ms - now) / 1000
  for (const [unit, length] of SPANS) {
    if (Math.abs(seconds) >= length) return AGO.format(Math.round(seconds / length), unit)
  }
  return Math.abs(seconds) < 10 ? 'just now' : AGO.format(Math.round(seconds), 'second')
}

/** `90000` seconds as `1 day 1 hour`; the two largest parts. */
export function span(seconds: number): string {
  let left = seconds
  const parts: string[] = []
  for (const [unit, length] of [...SPANS, ['second', 1] as const]) {
    const count = Math.floor(left / length)
    if (count > 0 && parts.length < 2) parts.push(many(count, unit))
    left -= count * length
  }
  return parts.join(' ') || '0 seconds'
}

/** `35 ms`, `1.2 s`, and from a minute on as {@link span}. */
export function took(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : span(ms / 1000)
}

/** The same of microseconds, with three digits where they are few. */
export const tookUs = (us: number) => (us < 100_000 ? `${(us / 1000).toPrecision(us < 1000 ? 2 : 3)} ms` : took(us / 1000))

export const nsToMs = (ns: number) => Math.floor(ns / 1e6)
/** The start of a hash, enough to tell versions apart. */
export const short = (id: string) => id.slice(0, 12)
