// From Markdown to HTML that only shows.
import DOMPurify from 'dompurify'
import { marked } from 'marked'

import { fsUrl } from '../../../api/client'
import { href } from '../../../lib/router.svelte'
import { tagPath, type TagNames } from '../names'

const TAGS = [
  'a', 'b', 'blockquote', 'br', 'code', 'dd', 'del', 'details', 'div', 'dl', 'dt', 'em', 'h1', 'h2', 'h3', 'h4', 'h5',
  'h6', 'hr', 'i', 'img', 'kbd', 'li', 'ol', 'p', 'pre', 's', 'samp', 'small', 'span', 'strong', 'sub', 'summary', 'sup',
  'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
]
const ATTRIBUTES = ['href', 'src', 'alt', 'title', 'align', 'colspan', 'rowspan', 'start', 'width', 'height']
const OUTSIDE = /^(https?:|mailto:)/i

/** HTML of the file at `path`, in which no script is and nothing leads where it should not. */
export function render(text: string, names: TagNames, path: string): string {
  const html = marked.parse(text, { async: false, gfm: true })
  const body = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  })
  for (const link of body.querySelectorAll('a')) lead(link, names, path)
  for (const image of body.querySelectorAll('img')) show(image, names, path)
  const holder = document.createElement('div')
  holder.append(body)
  return holder.innerHTML
}

function lead(link: HTMLAnchorElement, names: TagNames, path: string) {
  const to = link.getAttribute('href') ?? ''
  if (OUTSIDE.test(to)) {
    link.target = '_blank'
    link.rel = 'noopener noreferrer nofollow'
    return
  }
  const inside = within(to, path)
  if (inside === null) link.removeAttribute('href')
  else link.setAttribute('href', href(tagPath(names, inside)))
}

function show(image: HTMLImageElement, names: TagNames, path: string) {
  const inside = within(image.getAttribute('src') ?? '', path)
  if (inside !== null) {
    image.setAttribute('src', fsUrl(names.project, names.name, names.tag, inside))
    image.loading = 'lazy'
    return
  }
  // Nothing is fetched from outside: what the image is called stands there instead.
  image.replaceWith(document.createTextNode(image.alt ? `[${image.alt}]` : '[image]'))
}

/** The path in the dataset that an address in the file at `path` means; none outside of it. */
function within(address: string, path: string): string | null {
  const [bare = ''] = address.split(/[?#]/)
  if (!bare || /^[a-z][a-z0-9+.-]*:/i.test(bare) || bare.startsWith('//')) return null
  const parts = bare.startsWith('/') ? [] : path.split('/').slice(0, -1)
  for (const part of bare.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return null
    } else if (part && part !== '.') parts.push(decode(part))
  }
  return parts.join('/')
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
