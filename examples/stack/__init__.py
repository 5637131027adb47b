"""A film studio on AWS: the example that is deployed with ``cdk deploy``, and that the tests deploy.

tasks.py      the queues and tasks: stills on Lambda, bookings in order on Lambda, films on Fargate
api.py        a producer in a function of its own, with the right to two queues and no more
app.py        the CDK app: the registry's stack, the producer, alarms

From the root of this repository::

    npx cdk deploy --app "python -m examples.stack.app"
    npx cdk deploy --app "python -m examples.stack.app" -c alarm_email=you@example.com
"""
