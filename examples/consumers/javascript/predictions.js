// Prints a fleet's predictions, one JSON object a line: `node predictions.js localhost:9092 iot.turbofan.predictions my-group`
//
// Each prediction is printed at least once, also over restarts: records are committed after they were printed. A consumer that
// stores them makes that exactly once with the unique key (fleet, device_id, run, seq, ts): a repeated record violates it.
const { Kafka, logLevel } = require('@confluentinc/kafka-javascript').KafkaJS

const [brokers, topic, group] = process.argv.slice(2)
if (!group) {
  console.error('usage: node predictions.js BROKERS TOPIC GROUP')
  process.exit(2)
}

// the client writes what it logs below WARN to standard output, among the predictions
const kafka = new Kafka({ kafkaJS: { brokers: brokers.split(','), logLevel: logLevel.WARN } })
const consumer = kafka.consumer({
  kafkaJS: {
    groupId: group,
    readUncommitted: false, // what an aborted transaction left behind is no prediction
    fromBeginning: true, // a group that never read begins at the oldest prediction
    autoCommit: false
  }
})

async function main () {
  await consumer.connect()
  await consumer.subscribe({ topic })
  await consumer.run({
    eachBatch: async ({ batch }) => {
      for (const { value, headers } of batch.messages) {
        console.log(JSON.stringify({ ...JSON.parse(value), event: headers.ce_id.toString() }))
      }
      const next = BigInt(batch.lastOffset()) + 1n
      await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset: next.toString() }])
    }
  })
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => consumer.disconnect())
}
main().catch((error) => {
  console.error(error.message)
  process.exit(1)
})
