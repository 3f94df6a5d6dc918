/** What a user may be allowed to do: a right for each kind of request, and one for what steers the server. */
export type Right =
  | 'read'
  | 'write'
  | 'delete'
  | 'arithmetic'
  | 'touch'
  | 'flush'
  | 'stats'
  | 'dump'
  | 'watch'
  | 'admin'
