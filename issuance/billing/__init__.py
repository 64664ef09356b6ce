"""Events in: what billers say about memberships and charges.

`cloud_events` parses an event or refuses it with a reason, `events` takes batches of them in, `inbox` holds the
statements that do so, and `rejections` keeps the refused ones for the operator. An event is durable and unique before
anybody is told that it is accepted.
"""
