// A session of the AWS SDK for JavaScript; ends with 0 when everything was as on AWS. The SDK checks every MD5 itself.
import assert from "node:assert/strict";
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SQSClient,
  SendMessageBatchCommand,
  SendMessageCommand,
  StartMessageMoveTaskCommand,
  paginateListQueues,
} from "@aws-sdk/client-sqs";

const sqs = new SQSClient({});
const all = { MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"] };

async function create(name, attributes = {}) {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
  const answer = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }));
  return { QueueUrl, arn: answer.Attributes.QueueArn };
}

async function receive(queue, options = {}) {
  const answer = await sqs.send(new ReceiveMessageCommand({ QueueUrl: queue.QueueUrl, ...all, ...options }));
  return answer.Messages ?? [];
}

// A standard queue with its dead-letter queue: binary attributes, a delivery too many, and back by a move task.
const dead = await create("js_dead");
const redrive = JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 1 });
const jobs = await create("js", { RedrivePolicy: redrive });
const { MessageId } = await sqs.send(
  new SendMessageCommand({
    QueueUrl: jobs.QueueUrl,
    MessageBody: "grüße 🚀",
    MessageAttributes: {
      kind: { DataType: "String", StringValue: "größe" },
      raw: { DataType: "Binary", BinaryValue: new Uint8Array([0, 255, 7]) },
    },
  }),
);
const [first] = await receive(jobs);
assert.equal(first.MessageId, MessageId);
assert.equal(first.Body, "grüße 🚀");
assert.deepEqual([...first.MessageAttributes.raw.BinaryValue], [0, 255, 7]);
await sqs.send(
  new ChangeMessageVisibilityCommand({
    QueueUrl: jobs.QueueUrl,
    ReceiptHandle: first.ReceiptHandle,
    VisibilityTimeout: 0,
  }),
);
assert.deepEqual(await receive(jobs), []);
await sqs.send(new StartMessageMoveTaskCommand({ SourceArn: dead.arn }));
const [redriven] = await receive(jobs, { WaitTimeSeconds: 20 });
assert.equal(redriven.Body, first.Body);
assert.notEqual(redriven.MessageId, MessageId); // a move sends anew
const { Results } = await sqs.send(new ListMessageMoveTasksCommand({ SourceArn: dead.arn }));
assert.equal(Results[0].ApproximateNumberOfMessagesMoved, 1);

// A long poll is woken by a send.
const poll = receive(dead, { WaitTimeSeconds: 20 });
await sqs.send(new SendMessageCommand({ QueueUrl: dead.QueueUrl, MessageBody: "wake" }));
assert.equal((await poll)[0].Body, "wake");

// A FIFO queue: order, deduplication, batches with an entry that fails.
const fifo = await create("js.fifo", { FifoQueue: "true", ContentBasedDeduplication: "true" });
const entry = (Id, MessageBody) => ({ Id, MessageBody, MessageGroupId: "g" });
await sqs.send(
  new SendMessageBatchCommand({
    QueueUrl: fifo.QueueUrl,
    Entries: [entry("a", "one"), entry("b", "two"), entry("c", "one")],
  }),
);
const messages = await receive(fifo, { MaxNumberOfMessages: 10 });
assert.deepEqual(messages.map((message) => message.Body), ["one", "two"]);
const deleted = await sqs.send(
  new DeleteMessageBatchCommand({
    QueueUrl: fifo.QueueUrl,
    Entries: [
      { Id: "good", ReceiptHandle: messages[0].ReceiptHandle },
      { Id: "bad", ReceiptHandle: "not a handle" },
    ],
  }),
);
assert.deepEqual(deleted.Successful.map((one) => one.Id), ["good"]);
assert.deepEqual(deleted.Failed.map((one) => [one.Id, one.Code, one.SenderFault]), [["bad", "ReceiptHandleIsInvalid", true]]);

// Pages, and errors by their class.
const urls = [];
for await (const page of paginateListQueues({ client: sqs, pageSize: 2 }, {})) {
  urls.push(...page.QueueUrls);
}
assert.equal(urls.length, 3);
for (const QueueUrl of urls) {
  await sqs.send(new DeleteQueueCommand({ QueueUrl }));
}
await assert.rejects(receive(jobs), QueueDoesNotExist);
sqs.destroy();
console.log("as on AWS");
