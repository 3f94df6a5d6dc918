/** What the last outcome carries beside a value: registers, which every store of commands has alike. */
export class ResultRegisters {
  flags = 0
  casHigh = 0
  casLow = 0
  /** Of the value, or of what meta says about it where none was asked for. */
  valueBytes = 0
  numberHigh = 0
  numberLow = 0
  // The rest is for meta commands only.
  expiryBefore = 0
  expiryTouched = 0
  expiryVivified = 0
  expiry = 0
  lastAccess = 0
  wasFetched = false
  itemBytes = 0
  isCreated = false
  marks = 0
}
