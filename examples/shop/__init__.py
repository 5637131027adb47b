"""A small shop whose slow work runs on SQS: the example that ``make demo`` plays, and that the tests run.

tasks.py      the queues and tasks: what an application of your own would have
services.py   the world outside, pretended: a mail server, a card network; they fail on purpose
journal.py    writes down every run, as evidence for the demo
function.py   the Lambda function
produce.py    another process that adds jobs, some of them broken
accounts.py   what was sent against what became of it
demo.py       all of it at once
"""
