/**
 * Exit codes of every command, and of the server. Those above 63 are of sysexits.h, by which scripts
 * and supervisors tell what kind of trouble it was.
 */

/** Success, or a stop that was asked for. */
export const EXIT_OK = 0
/** The command was understood and could not do what it says. */
export const EXIT_FAILURE = 1
/** EX_NOUSER: the server takes neither this user nor this password, or wants one. */
export const EXIT_LOGIN = 67
/** EX_NOHOST: the server is not who it should be: its certificate, or its proof that it knows the password. */
export const EXIT_IDENTITY = 68
/** EX_UNAVAILABLE: no server answers there. */
export const EXIT_UNAVAILABLE = 69
/** EX_SOFTWARE: a defect, ours. */
export const EXIT_SOFTWARE = 70
/** EX_OSERR: the system does not give what is needed. */
export const EXIT_OS = 71
/** EX_TEMPFAIL: the server did not answer in time. */
export const EXIT_TIMEOUT = 75
/** EX_PROTOCOL: what the server answers makes no sense. */
export const EXIT_PROTOCOL = 76
/** EX_NOPERM: the user may not do that. */
export const EXIT_PERMISSION = 77
/** EX_CONFIG: flags, variables or files that cannot be used. */
export const EXIT_CONFIG = 78
/** 128 + SIGINT: the person at the prompt changed their mind. */
export const EXIT_INTERRUPTED = 130
