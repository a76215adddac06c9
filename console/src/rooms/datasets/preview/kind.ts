// What a file is shown as, by its name. A file of another kind is looked at before it is taken for text.
export type Kind = 'markdown' | 'image' | 'csv' | 'parquet' | 'json' | 'pdf' | 'audio' | 'video' | 'text'

const ENDINGS: Record<Exclude<Kind, 'text'>, string[]> = {
  markdown: ['md', 'markdown'],
  image: ['png', 'jpg', 'jpeg', 'gif', 'webp', 'avif', 'svg', 'bmp', 'ico'],
  csv: ['csv', 'tsv'],
  parquet: ['parquet'],
  json: ['json', 'geojson', 'ipynb'],
  pdf: ['pdf'],
  audio: ['mp3', 'ogg', 'oga', 'opus', 'flac', 'wav', 'm4a'],
  video: ['mp4', 'webm', 'ogv', 'mov', 'm4v'],
}

export function kindOf(path: string): Kind {
  const ending = path.split('.').at(-1)?.toLowerCase() ?? ''
  for (const [kind, endings] of Object.entries(ENDINGS)) if (endings.includes(ending)) return kind as Kind
  return 'text'
}
