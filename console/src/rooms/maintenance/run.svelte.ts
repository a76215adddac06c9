// A long run that a node tells about line by line: how far it is, and what came of it.
import { asFailure, Failure } from '../../api/client'
import { lines } from '../../api/lines'

interface Line<P, R> {
  progress?: P
  result?: R
  error?: { kind: string; message: string }
}

export class Run<P, R> {
  progress = $state.raw<P>()
  result = $state.raw<R>()
  failure = $state.raw<Failure>()
  busy = $state(false)
  #stop: AbortController | undefined

  constructor(private readonly url: string) {}

  async start(body: unknown) {
    if (this.busy) return
    this.busy = true
    this.progress = this.result = this.failure = undefined
    this.#stop = new AbortController()
    const headers = { 'content-type': 'application/json' }
    try {
      const init = { method: 'POST', headers, body: JSON.stringify(body), signal: this.#stop.signal }
      for await (const line of lines<Line<P, R>>(this.url, init)) {
        if (line.progress !== undefined) this.progress = line.progress
        if (line.result !== undefined) this.result = line.result
        if (line.error) this.failure = new Failure(500, line.error.kind, line.error.message, '')
      }
    } catch (thrown) {
      if (!this.#stop.signal.aborted) this.failure = asFailure(thrown)
    } finally {
      this.busy = false
    }
  }

  /** Ends it: the node does not go on with what nobody listens to. */
  stop() {
    this.#stop?.abort()
  }
}
