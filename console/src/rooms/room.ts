// What an engine brings to the console: pages with addresses, an entry in the navigation, commands.
import type { Component } from 'svelte'

/** Something that can be done or gone to from the palette. */
export interface Command {
  title: string
  note?: string
  to: string
}

export interface Page {
  /** `/datasets/:project/:name/*path`: what stands in for names is handed to the page. */
  pattern: string
  load: () => Promise<{ default: Component<any> }>
}

export interface Room {
  title: string
  /** The address of its entry in the navigation. */
  to: string
  /** Paths of a 20 × 20 drawing. */
  icon: string
  /** Whether who is signed in has anything to do there. */
  visible: () => boolean
  pages: Page[]
  commands: Command[]
  /** Finds things by name, for the palette. */
  search?: (words: string) => Promise<Command[]>
}
