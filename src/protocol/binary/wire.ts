/**
 * The binary dialect's numbers, spelled as "Memcache Binary Protocol" (protocol_binary.txt) and the
 * SASL extension (Sallings, 2009) spell them.
 *
 *       0        1        2        3        4        5        6        7
 *   0 | magic  | opcode |    key length   | extras | d.type |  reserved/status |
 *   8 |        total body length          |             opaque                 |
 *  16 |                            CAS (big-endian)                            |
 *  24 | extras ... | key ... | value ...
 */
export const HEADER_BYTES = 24
export const MAGIC_REQUEST = 0x80
export const MAGIC_RESPONSE = 0x81

export const OP_GET = 0x00
export const OP_SET = 0x01
export const OP_ADD = 0x02
export const OP_REPLACE = 0x03
export const OP_DELETE = 0x04
export const OP_INCREMENT = 0x05
export const OP_DECREMENT = 0x06
export const OP_QUIT = 0x07
export const OP_FLUSH = 0x08
export const OP_GETQ = 0x09
export const OP_NOOP = 0x0a
export const OP_VERSION = 0x0b
export const OP_GETK = 0x0c
export const OP_GETKQ = 0x0d
export const OP_APPEND = 0x0e
export const OP_PREPEND = 0x0f
export const OP_STAT = 0x10
export const OP_SETQ = 0x11
export const OP_ADDQ = 0x12
export const OP_REPLACEQ = 0x13
export const OP_DELETEQ = 0x14
export const OP_INCREMENTQ = 0x15
export const OP_DECREMENTQ = 0x16
export const OP_QUITQ = 0x17
export const OP_FLUSHQ = 0x18
export const OP_APPENDQ = 0x19
export const OP_PREPENDQ = 0x1a
export const OP_VERBOSITY = 0x1b
export const OP_TOUCH = 0x1c
export const OP_GAT = 0x1d
export const OP_GATQ = 0x1e
export const OP_SASL_LIST_MECHS = 0x20
export const OP_SASL_AUTH = 0x21
export const OP_SASL_STEP = 0x22
export const OP_GATK = 0x23
export const OP_GATKQ = 0x24

export const STATUS_OK = 0x00
export const STATUS_KEY_NOT_FOUND = 0x01
export const STATUS_KEY_EXISTS = 0x02
export const STATUS_TOO_LARGE = 0x03
export const STATUS_INVALID_ARGUMENTS = 0x04
export const STATUS_NOT_STORED = 0x05
export const STATUS_NON_NUMERIC = 0x06
export const STATUS_AUTH_ERROR = 0x20
export const STATUS_AUTH_CONTINUE = 0x21
export const STATUS_NO_ACCESS = 0x24
export const STATUS_UNKNOWN_COMMAND = 0x81
export const STATUS_OUT_OF_MEMORY = 0x82
export const STATUS_INTERNAL_ERROR = 0x84
export const STATUS_BUSY = 0x85
export const STATUS_TEMPORARY_FAILURE = 0x86

/** memcached refuses a larger body before it reads it. */
export const BODY_BYTES_MAX = 0x40000000
export const MECHANISM_NAME_BYTES_MAX = 32
/** INCREMENT and DECREMENT with this expiry do not create a missing item. */
export const EXPIRY_NO_CREATE = 0xffffffff
