"""The console: pages for people of the operator, made on the server (INTERFACE 12).

The way of a request: `routes` (errors become pages) → `visits` (who it is, which brand, may they?) → the module of its
page, which asks the same functions as the API → `rendering`. Only `reading` has statements of its own, for what pages
show together and no other room reads so. Nothing needs JavaScript; the little that there is makes pages quicker.
"""
