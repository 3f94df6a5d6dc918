/**
 * Loaded into a server under test with `node --import`: a wall clock that can be stepped, in all
 * threads. The file that STEP_CLOCK names holds by how many milliseconds it is wrong.
 */
import { readFileSync } from 'node:fs'
import process from 'node:process'

const now = Date.now

Date.now = () => now() + Number(readFileSync(process.env.STEP_CLOCK, 'utf8'))
