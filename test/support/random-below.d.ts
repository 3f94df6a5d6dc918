export type RandomBelow = (bound: number) => number

export function randomBelow(seed: number): RandomBelow
