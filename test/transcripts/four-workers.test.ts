import { playAll } from './play-all.ts'

playAll('saslcached', 4, { arrival: 'whole' })
