export const SMALL_KEYS: number
export const COUNTER_KEYS: number
export const LARGE_KEYS: number

export function smallKey(owner: number, number: number): string
export function counterKey(owner: number, number: number): string
export function largeKey(owner: number, number: number): string
