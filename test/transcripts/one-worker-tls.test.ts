import { playAll } from './play-all.ts'

playAll('saslcached', 1, { isOverTls: true })
