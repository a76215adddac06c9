import type { Room } from '../room'
import { search } from './search'

const PAGE = '/functions/:project/:name'

export const functions: Room = {
  title: 'Functions',
  to: '/functions',
  icon: 'M7 4C5 4 4.5 5 4.5 6.5v1.7C4.5 9.4 4 10 3 10c1 0 1.5.6 1.5 1.8v1.7C4.5 15 5 16 7 16M13 4c2 0 2.5 1 2.5 2.5v1.7c0 1.2.5 1.8 1.5 1.8-1 0-1.5.6-1.5 1.8v1.7c0 1.5-.5 2.5-2.5 2.5M11.2 7.5l-2.4 5',
  visible: () => true,
  pages: [
    { pattern: '/functions', load: () => import('./List.svelte') },
    { pattern: '/functions/routes', load: () => import('./AllRoutes.svelte') },
    { pattern: '/functions/schedules', load: () => import('./AllSchedules.svelte') },
    { pattern: '/functions/triggers', load: () => import('./AllTriggers.svelte') },
    { pattern: '/functions/plans', load: () => import('./plans/Plans.svelte') },
    { pattern: '/functions/plans/:project/:name/:id', load: () => import('./plans/Plan.svelte') },
    { pattern: PAGE, load: () => import('./Overview.svelte') },
    { pattern: `${PAGE}/releases`, load: () => import('./Releases.svelte') },
    { pattern: `${PAGE}/logs`, load: () => import('./Logs.svelte') },
    { pattern: `${PAGE}/try`, load: () => import('./Try.svelte') },
    { pattern: `${PAGE}/routes`, load: () => import('./Routes.svelte') },
    { pattern: `${PAGE}/filters`, load: () => import('./Filters.svelte') },
    { pattern: `${PAGE}/schedules`, load: () => import('./Schedules.svelte') },
    { pattern: `${PAGE}/triggers`, load: () => import('./Triggers.svelte') },
  ],
  commands: [
    { title: 'Functions', note: 'list', to: '/functions' },
    { title: 'Routes', note: 'functions', to: '/functions/routes' },
    { title: 'Schedules', note: 'functions', to: '/functions/schedules' },
    { title: 'Triggers', note: 'functions', to: '/functions/triggers' },
    { title: 'Plans', note: 'functions', to: '/functions/plans' },
  ],
  search,
}
