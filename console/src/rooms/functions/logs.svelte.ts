// The last lines that a function wrote on the node that is asked, and those that come.
import { api, asFailure, got, type Failure, type Schemas } from '../../api/client'
import { FUNCTION } from './ask'
import type { FunctionNames } from './names'

/** As many as a node keeps. */
const LINES_MAX = 1000
const WAIT_SECONDS = 20

export class Log {
  lines = $state.raw<Schemas['LogLine'][]>([])
  failure = $state.raw<Failure>()
  /** Which start of the node has counted the lines. */
  #start = ''
  /** Whether the first answer is there. */
  asked = $state(false)

  /** Takes lines as they come, until `signal` says so or the node cannot be asked. */
  async follow(path: FunctionNames, signal: AbortSignal) {
    this.failure = undefined
    try {
      for (let wait = 0; !signal.aborted; wait = WAIT_SECONDS) {
        const query = { after: this.lines.at(-1)?.number ?? 0, wait, ...(this.#start ? { start: this.#start } : {}) }
        const { start, lines } = await got(api.GET(`${FUNCTION}/logs`, { params: { path, query }, signal }))
        if (signal.aborted) return
        // A node that was started since counts from the beginning, and gives all that it has.
        if (this.#start !== start) this.lines = []
        this.#start = start
        if (lines.length) this.lines = [...this.lines, ...lines].slice(-LINES_MAX)
        this.asked = true
      }
    } catch (thrown) {
      if (!signal.aborted) this.failure = asFailure(thrown)
    }
  }

  /** Forgets all lines. */
  clear() {
    this.lines = []
    this.#start = ''
    this.asked = false
  }
}
