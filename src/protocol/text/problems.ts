/**
 * What a text line can be told instead of an outcome, to the byte as memcached says it. The numbers
 * are what a decoder leaves in `request.problem`; the encoder turns them into bytes.
 */
export const PROBLEM_ERROR = 0
export const PROBLEM_BAD_FORMAT = 1
export const PROBLEM_BAD_DATA_CHUNK = 2
export const PROBLEM_INVALID_EXPTIME = 3
export const PROBLEM_INVALID_DELTA = 4
export const PROBLEM_UNAUTHENTICATED = 5
export const PROBLEM_LOGIN_TERMINATION = 6
export const PROBLEM_LOGIN_FORMAT = 7
export const PROBLEM_LOGIN_TOO_LONG = 8
export const PROBLEM_LOGIN_FAILED = 9
export const PROBLEM_TOO_MANY_FLAGS = 10
export const PROBLEM_DUPLICATE_FLAG = 11
export const PROBLEM_INVALID_FLAG = 12
export const PROBLEM_BAD_TOKEN = 13
export const PROBLEM_BAD_BASE64 = 14
export const PROBLEM_OPAQUE_TOO_LONG = 15
export const PROBLEM_SET_MODE = 16
export const PROBLEM_ARITHMETIC_MODE = 17
export const PROBLEM_ARITHMETIC_FLAG = 18
export const PROBLEM_SASL_OFF = 19
export const PROBLEM_INVALID_DELTA_VALUE = 20
export const PROBLEM_INVALID_INITIAL_VALUE = 21
export const PROBLEM_NO_RIGHT = 22
export const PROBLEM_NO_KEY = 23
export const PROBLEM_LOGIN_NEEDS_TLS = 24
/** From here on one for each OUTCOME_STORE_, in their order. */
export const PROBLEM_STORE_LATE = 25

/** The answers, by problem. */
export const PROBLEM_TEXTS: readonly string[] = [
  'ERROR',
  'CLIENT_ERROR bad command line format',
  'CLIENT_ERROR bad data chunk',
  'CLIENT_ERROR invalid exptime argument',
  'CLIENT_ERROR invalid numeric delta argument',
  'CLIENT_ERROR unauthenticated',
  'CLIENT_ERROR bad command line termination',
  'CLIENT_ERROR bad authentication token format',
  'CLIENT_ERROR auth token too long',
  'CLIENT_ERROR authentication failure',
  'CLIENT_ERROR options flags are too long',
  'CLIENT_ERROR duplicate flag',
  'CLIENT_ERROR invalid flag',
  'CLIENT_ERROR bad token in command line format',
  'CLIENT_ERROR error decoding key',
  'CLIENT_ERROR opaque token too long',
  'CLIENT_ERROR invalid mode for ms M token',
  'CLIENT_ERROR invalid mode for ma M token',
  'CLIENT_ERROR invalid or duplicate flag',
  'NOT_SUPPORTED',
  'CLIENT_ERROR invalid numeric delta value',
  'CLIENT_ERROR invalid numeric initial value',
  'CLIENT_ERROR permission denied: this user lacks the right',
  'CLIENT_ERROR permission denied: this user may not use this key',
  'CLIENT_ERROR passwords are not taken in the clear here: use TLS',
  'SERVER_ERROR the store did not answer in time',
  'SERVER_ERROR the store is out of reach',
  'SERVER_ERROR too much waits for the store',
  'SERVER_ERROR the store refused the request',
]

const encoder = new TextEncoder()

/** The same as lines. */
export const PROBLEM_LINES: readonly Uint8Array[] = PROBLEM_TEXTS.map((text) =>
  encoder.encode(`${text}\r\n`),
)
