/**
 * The tables of RFC 3454 as the saslprep package has them, which ships no types: one bit for each
 * code point, eight to a byte, the first in the highest.
 */
declare module 'saslprep/lib/memory-code-points.js' {
  interface Bitfield {
    toBuffer(): Buffer
  }
  const tables: {
    readonly unassigned_code_points: Bitfield
    readonly commonly_mapped_to_nothing: Bitfield
    readonly non_ASCII_space_characters: Bitfield
    readonly prohibited_characters: Bitfield
    readonly bidirectional_r_al: Bitfield
    readonly bidirectional_l: Bitfield
  }
  export default tables
}
