// How the page that is shown can be had by command line and by API.
export interface How {
  /** Commands of `cairn`, without the program's name. */
  cli: string[]
  /** Requests: method and path. */
  api: string[]
}

let now = $state.raw<How>({ cli: [], api: [] })

export const hows = {
  get now() {
    return now
  },
  show(how: How) {
    now = how
  },
}

/** A request as a command of curl that can be pasted as it is. */
export function curl(request: string): string {
  const [method = 'GET', path = '/'] = request.split(' ')
  const verb = method === 'GET' ? '' : `-X ${method} `
  return `curl -H "Authorization: Bearer $CAIRN_TOKEN" ${verb}'${location.origin}${path}'`
}

/** A word as a shell takes it. */
export const quoted = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)
