"""An SQS client that says yes to everything, for handlers whose calls are looked at afterwards."""

from __future__ import annotations


class AcceptingClient:
    """Accepts every visibility, copy and dead letter, and remembers them."""

    def __init__(self):
        self.visibilities = {}
        self.sent = []

    def change_message_visibility_batch(self, *, QueueUrl, Entries):
        for entry in Entries:
            self.visibilities[entry["ReceiptHandle"].removeprefix("handle-of-")] = entry["VisibilityTimeout"]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries], "Failed": []}

    def delete_message_batch(self, *, QueueUrl, Entries):
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries], "Failed": []}

    def send_message(self, **request):
        self.sent.append(request)
        return {"MessageId": "dead"}

    def get_queue_url(self, *, QueueName):
        return {"QueueUrl": f"https://queue/{QueueName}"}
