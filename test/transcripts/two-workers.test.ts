import { playAll } from './play-all.ts'

playAll('saslcached', 2, { arrival: 'in pieces' })
