// Follows a tag while a page shows it, by events that the node sends.
import type { Schemas } from '../../api/client'
import { apiPath, type TagNames } from './names'

/** Calls `moved` whenever the tag comes to point elsewhere than `known` says. */
export function follow(of: () => TagNames | null, known: () => string | null, moved: () => void) {
  // A new object of the same names is no new tag.
  const address = $derived.by(() => {
    const names = of()
    return names && `${apiPath(names)}/tags/${names.tag}/follow`
  })
  $effect(() => {
    if (!address) return
    const events = new EventSource(address)
    const told = (event: MessageEvent<string>) => {
      const state = JSON.parse(event.data) as Schemas['TagState']
      if ((state.version?.root ?? null) !== known()) moved()
    }
    events.addEventListener('version', told)
    events.addEventListener('removed', told)
    // The node says why it ends the stream: asking again would end the same way.
    events.addEventListener('end', () => events.close())
    return () => events.close()
  })
}
