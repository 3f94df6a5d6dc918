/** The longest key in bytes, in every dialect and in the store. */
export const KEY_BYTES_MAX = 250
