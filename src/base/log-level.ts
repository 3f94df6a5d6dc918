/** How much a line of the log matters, by the words of the option and of the lines themselves; the gravest first. */
export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
