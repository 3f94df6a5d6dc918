import { describeClient } from '../../../support/client-suite.ts'
import { SUITES } from './suite.ts'

for (const suite of SUITES) describeClient(suite)
