// What the node holds while it is looked at: an ordinary dataset, a large directory, hostile content.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { parquetWriteBuffer } from 'hyparquet-writer'

export type Cairn = (...args: string[]) => string

/** Entries of the large directory. */
export const MANY = 100_000
/** What hostile content would do if it could run. */
export const DEED = "parent.document.title='taken';document.title='taken';fetch('/api/v1/access/grants')"

export async function fill(home: string, cairn: Cairn) {
  const tree = join(home, 'survey')
  ordinary(tree)
  cairn('push', tree, 'survey:v1')
  cairn('tag', 'survey:v1', 'survey:latest')
  writeFileSync(join(tree, 'data', 'stations.csv'), csv(400))
  writeFileSync(join(tree, 'NOTES.txt'), 'Second visit.\n'.repeat(40))
  cairn('push', tree, 'survey:v2')
  cairn('tag', 'survey:v2', 'survey:latest')

  const many = join(home, 'many')
  mkdirSync(join(many, 'entries'), { recursive: true })
  for (let index = 0; index < MANY; index += 1) {
    writeFileSync(join(many, 'entries', `entry-${String(index).padStart(6, '0')}.txt`), '')
  }
  cairn('push', many, 'many:v1')

  const evil = join(home, 'evil')
  hostile(evil)
  cairn('push', evil, 'evil:v1')
}

function ordinary(tree: string) {
  mkdirSync(join(tree, 'data', 'raw'), { recursive: true })
  mkdirSync(join(tree, 'media'))
  const put = (path: string, content: string | Uint8Array) => writeFileSync(join(tree, path), content)
  put('README.md', README)
  put('data/stations.csv', csv(300))
  put('data/config.json', JSON.stringify({ name: 'survey', stations: [{ id: 1, depth: 12.5 }, { id: 2, depth: null }], checked: true }, null, 2))
  put('data/raw/notes.rs', 'fn main() {\n    println!("one line");\n}\n')
  put('data/depths.parquet', parquet())
  put('data/raw/blob.bin', Uint8Array.from({ length: 4096 }, (_, index) => (index * 131) % 256))
  put('media/dot.png', Buffer.from(DOT_PNG, 'base64'))
  put('media/map.svg', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 60"><rect width="120" height="60" fill="#cde"/><path d="M10 50 L60 15 L110 45" stroke="#246" fill="none" stroke-width="4"/></svg>')
  put('media/paper.pdf', pdf('A paper of one line'))
  put('media/tone.wav', tone())
}

function hostile(tree: string) {
  mkdirSync(tree, { recursive: true })
  const put = (path: string, content: string) => writeFileSync(join(tree, path), content)
  put('README.md', `# Hostile\n<script>${DEED}</script><img src=x onerror="${DEED}"><svg onload="${DEED}"></svg>\n[click](javascript:${DEED})\n<a href="data:text/html,<script>${DEED}</script>">data</a><iframe srcdoc="<script>${DEED}</script>"></iframe><form action="/auth/logout" method="post"><button>go</button></form><style>body{display:none}</style>\n\n![out](https://example.org/pixel.png)\n`)
  put('page.html', `<!doctype html><script>${DEED}</script><body onload="${DEED}">hello`)
  put('image.svg', `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" onload="${DEED}"><script>${DEED}</script><rect width="10" height="10"/></svg>`)
  put('rows.csv', `name,value\n"<img src=x onerror=${DEED}>","=cmd|' /C calc'!A0"\n`)
  put('tree.json', `{"<script>x</script>": ${JSON.stringify(`<img src=x onerror="${DEED}">`)}, "__proto__": {"polluted": true}}`)
  put('paper.pdf', pdf('Hostile', `/OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >>`))
  put(`<img src=x onerror=${DEED.replaceAll('/', '|').slice(0, 60)}>.txt`, 'a name with script in it\n')
  put('"><script>alert(1)<|script>.md', '# quoted\n')
}

const csv = (rows: number) =>
  `station,depth,comment\n${Array.from({ length: rows }, (_, index) => `${index},${(index * 1.7).toFixed(1)},"row ${index}, quoted"`).join('\n')}\n`

function parquet(): Uint8Array {
  const count = 250
  const column = <T>(make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'station', data: column((index) => index), type: 'INT32' },
        { name: 'depth', data: column((index) => index * 0.5), type: 'DOUBLE' },
        { name: 'name', data: column((index) => `station ${index}`), type: 'STRING' },
      ],
    }),
  )
}

/** A PDF of one page, with offsets as they must be. */
function pdf(text: string, more = ''): string {
  const stream = `BT /F1 24 Tf 72 700 Td (${text}) Tj ET`
  const objects = [
    `<< /Type /Catalog /Pages 2 0 R ${more} >>`,
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
    `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ]
  let out = '%PDF-1.4\n'
  const offsets = objects.map((object, index) => {
    const at = out.length
    out += `${index + 1} 0 obj\n${object}\nendobj\n`
    return at
  })
  const table = offsets.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('')
  return `${out}xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${out.length}\n%%EOF\n`
}

/** A second of 440 Hz, 8-bit mono at 8 kHz. */
function tone(): Uint8Array {
  const samples = 8000
  const wav = Buffer.alloc(44 + samples)
  wav.write('RIFF', 0)
  wav.writeUInt32LE(36 + samples, 4)
  wav.write('WAVEfmt ', 8)
  wav.writeUInt32LE(16, 16)
  wav.writeUInt16LE(1, 20)
  wav.writeUInt16LE(1, 22)
  wav.writeUInt32LE(samples, 24)
  wav.writeUInt32LE(samples, 28)
  wav.writeUInt16LE(1, 32)
  wav.writeUInt16LE(8, 34)
  wav.write('data', 36)
  wav.writeUInt32LE(samples, 40)
  for (let index = 0; index < samples; index += 1) wav[44 + index] = 128 + 100 * Math.sin((2 * Math.PI * 440 * index) / samples)
  return wav
}

const DOT_PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNkYPhfz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC'

const README = `# Survey

Depths of the lake, measured twice.

| file | what |
|---|---|
| [stations](data/stations.csv) | one row a station |
| \`data/depths.parquet\` | the same, in columns |

![map](media/map.svg)

\`\`\`sh
cairn pull survey:latest ./survey
\`\`\`
`
