import { playAll } from './play-all.ts'

playAll('saslcached', 2)
