// All rooms, in the order of the navigation. An engine adds itself here.
import { access } from './access/room'
import { account } from './account/room'
import { audit } from './audit/room'
import { datasets } from './datasets/room'
import { functions } from './functions/room'
import { home } from './home/room'
import { maintenance } from './maintenance/room'
import type { Room } from './room'

export const rooms: Room[] = [home, datasets, functions, access, audit, maintenance, account]
