/** The greatest number that fits a signed 32-bit integer, which is what an int of memcached's is. */
export const INT32_MAX = 2147483647
