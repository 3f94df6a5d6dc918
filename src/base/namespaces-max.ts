/** How many namespaces there may be at one time, beside the default one. */
export const NAMESPACES_MAX = 64

/** As many as a namespace's number can say. */
export const NAMESPACE_IDS = 256
