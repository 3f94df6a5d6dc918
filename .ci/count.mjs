/**
 * count.mjs REPORT STATUS: prints "PASSED FAILED SKIPPED" of a JSON report of vitest, for .ci/run.
 *
 * Nothing that went wrong is counted as nothing: a test file that broke outside its tests, a missing
 * report and an exit code other than 0 without a failed test are one failure each.
 */
import { readFileSync } from 'node:fs'

const [reportFile, status] = process.argv.slice(2)
let passed = 0
let failed = 0
let skipped = 0
try {
  const report = JSON.parse(readFileSync(reportFile, 'utf8'))
  const brokenFiles = report.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  passed = report.numPassedTests
  failed = report.numFailedTests + brokenFiles.length
  skipped = report.numPendingTests + report.numTodoTests
} catch (error) {
  console.error(`no report to count: ${error.message}`)
}
if (failed === 0 && (status !== '0' || passed === 0)) failed = 1
console.log(`${passed} ${failed} ${skipped}`)
