"""The HTTP API: each kind of resource has a module, which turns a request into a call of another room, and the result
into an answer (INTERFACE 3-6, 8, 10).

The way of a request: `app` → `requests` (its id, its bounds, its log line) → `routes` (`callers`: who it is;
`idempotency`: was it answered before?) → the module of its resource. `problems` gives every error one form, `document`
completes the OpenAPI document.
"""
