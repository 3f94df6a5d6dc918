/** The table of mechanisms for the command line, which sees nothing of the house below the server. */
export { MECHANISM_NAMES } from '../../sasl/mechanisms.ts'
