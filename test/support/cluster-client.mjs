/**
 * memcached-elasticache, told one node: it prints the nodes it discovered, stores and reads an item with
 * them, and goes on discovering; each line of standard output is one event. Ends when its input does.
 */
import Client from 'memcached-elasticache'

const client = new Client(process.argv[2], { autoDiscoverInterval: 50, timeout: 60_000 })
client.on('autoDiscoverFailure', (error) => {
  console.log(`failed: ${error}`)
  process.exitCode = 1
})
client.on('autoDiscover', (nodes) => {
  console.log(`discovered: ${nodes.join(' ')}`)
  client.set('greeting', 'hello', 60, (error) => {
    client.get('greeting', (_, value) => console.log(`read: ${error ?? value}`))
  })
})
process.stdin.resume().on('end', () => {
  client.end()
  process.exit()
})
