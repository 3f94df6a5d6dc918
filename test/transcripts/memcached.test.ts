import { playAll } from './play-all.ts'

playAll('memcached', 1)
