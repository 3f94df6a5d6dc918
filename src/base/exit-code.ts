/**
 * Exit codes of every command, and of the server. Those above 63 are of sysexits.h, by which scripts
 * and supervisors tell what kind of trouble it was.
 */

/** Success, or a stop that was asked for. */
export const EXIT_OK = 0
/** The command was understood and could not do what it says. */
export const EXIT_FAILURE = 1
/** EX_SOFTWARE: a defect, ours. */
export const EXIT_SOFTWARE = 70
/** EX_OSERR: the system does not give what is needed. */
export const EXIT_OS = 71
/** EX_CONFIG: flags, variables or files that cannot be used. */
export const EXIT_CONFIG = 78
/** 128 + SIGINT: the person at the prompt changed their mind. */
export const EXIT_INTERRUPTED = 130
