// Where the steps of a plan are drawn: in columns, each step to the right of all that it waits for.
//
// A way past other columns goes through places of its own in them, so that it crosses no step. The order within a column is
// that of the mean place of what is before and after it, in some sweeps to and fro (Sugiyama, Tagawa and Toda, 1981).

/** What is placed: steps in an order in which each comes after those it waits for. */
interface Node {
  name: string
  inputs: string[]
}

export interface Placed {
  name: string
  column: number
  x: number
  y: number
}

export interface Way {
  from: string
  to: string
  /** As SVG draws it. */
  path: string
}

export interface Layout {
  width: number
  height: number
  nodes: Placed[]
  ways: Way[]
}

export const NODE_WIDTH = 184
export const NODE_HEIGHT = 72
const GAP_X = 72
const GAP_Y = 20
/** Room of a way between steps. */
const WAY_HEIGHT = 12
/** Around all of it, for the ring of what has the focus. */
const MARGIN = 8
const SWEEPS = 8

/** A place in a column: of a step, or of a way that goes on. */
interface Slot {
  name: string | null
  column: number
  /** Its middle. */
  y: number
  height: number
  before: Slot[]
  after: Slot[]
}

export function layout(steps: Node[]): Layout {
  const columns: Slot[][] = []
  const named = new Map<string, Slot>()
  const ways: { from: string; to: string; slots: Slot[] }[] = []
  const put = (name: string | null, column: number): Slot => {
    const slot = { name, column, y: 0, height: name === null ? WAY_HEIGHT : NODE_HEIGHT, before: [], after: [] }
    ;(columns[column] ??= []).push(slot)
    return slot
  }
  for (const step of steps) {
    const inputs = step.inputs.flatMap((name) => named.get(name) ?? [])
    const slot = put(step.name, Math.max(-1, ...inputs.map((input) => input.column)) + 1)
    named.set(step.name, slot)
    for (const input of inputs) {
      const slots = [input]
      for (let column = input.column + 1; column < slot.column; column += 1) slots.push(put(null, column))
      slots.push(slot)
      ways.push({ from: input.name ?? '', to: step.name, slots })
      slots.slice(1).forEach((next, at) => (slots[at]?.after.push(next), next.before.push(slots[at] as Slot)))
    }
  }
  order(columns)
  const height = Math.max(0, ...columns.map(heightOf)) + 2 * MARGIN
  for (const slot of columns.flat()) slot.y += height / 2
  return {
    width: columns.length * (NODE_WIDTH + GAP_X) - GAP_X + 2 * MARGIN,
    height,
    nodes: steps.map(({ name }) => {
      const slot = named.get(name) as Slot
      return { name, column: slot.column, x: left(slot), y: slot.y - NODE_HEIGHT / 2 }
    }),
    ways: ways.map(({ from, to, slots }) => ({ from, to, path: drawn(slots) })),
  }
}

const left = (slot: Slot) => MARGIN + slot.column * (NODE_WIDTH + GAP_X)
const heightOf = (column: Slot[]) => column.reduce((sum, slot) => sum + slot.height + GAP_Y, -GAP_Y)

function order(columns: Slot[][]) {
  columns.forEach(place)
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const forth = sweep % 2 === 0
    for (const column of forth ? columns : columns.toReversed()) {
      const wanted = new Map(column.map((slot) => [slot, mean(forth ? slot.before : slot.after) ?? slot.y]))
      column.sort((a, b) => (wanted.get(a) ?? 0) - (wanted.get(b) ?? 0))
      place(column)
    }
  }
}

const mean = (slots: Slot[]) => (slots.length ? slots.reduce((sum, slot) => sum + slot.y, 0) / slots.length : null)

/** One below the other, around nought. */
function place(column: Slot[]) {
  let top = -heightOf(column) / 2
  for (const slot of column) {
    slot.y = top + slot.height / 2
    top += slot.height + GAP_Y
  }
}

/** From the right side of the first to the left side of the last. */
function drawn(slots: Slot[]): string {
  const [first, ...rest] = slots as [Slot, ...Slot[]]
  let x = left(first) + NODE_WIDTH
  let y = first.y
  let path = `M${x} ${y}`
  for (const slot of rest) {
    const middle = (x + left(slot)) / 2
    path += `C${middle} ${y} ${middle} ${slot.y} ${left(slot)} ${slot.y}`
    x = left(slot)
    y = slot.y
    if (slot.name === null) {
      x += NODE_WIDTH
      path += `H${x}`
    }
  }
  return path
}
