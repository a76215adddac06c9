import type { Room } from '../room'
import { search } from './search'

const PAGE = '/datasets/:project/:name'

export const datasets: Room = {
  title: 'Datasets',
  to: '/datasets',
  icon: 'M3 6c0-1.4 3.1-2.5 7-2.5S17 4.6 17 6s-3.1 2.5-7 2.5S3 7.4 3 6zm0 0v8c0 1.4 3.1 2.5 7 2.5s7-1.1 7-2.5V6M3 10c0 1.4 3.1 2.5 7 2.5s7-1.1 7-2.5',
  visible: () => true,
  pages: [
    { pattern: '/datasets', load: () => import('./List.svelte') },
    { pattern: PAGE, load: () => import('./Dataset.svelte') },
    { pattern: `${PAGE}/settings`, load: () => import('./Settings.svelte') },
    { pattern: `${PAGE}/upload`, load: () => import('./Upload.svelte') },
    { pattern: `${PAGE}/tags/:tag/compare/:other`, load: () => import('./Compare.svelte') },
    { pattern: `${PAGE}/tags/:tag/performance`, load: () => import('./Performance.svelte') },
    { pattern: `${PAGE}/tags/:tag/files/*path`, load: () => import('./Browse.svelte') },
  ],
  commands: [{ title: 'Datasets', note: 'list', to: '/datasets' }],
  search,
}
