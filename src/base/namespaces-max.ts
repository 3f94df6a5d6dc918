/** How many namespaces there may be at one time, beside the default one. */
export const NAMESPACES_MAX = 64
