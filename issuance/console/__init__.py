"""The console: pages for people of the operator, made on the server (INTERFACE 12).

The way of a request: `routes` (errors become pages) → `visits` (who it is, which brand, may they?) → the module of its
page, which asks the same functions as the API → `rendering`. Only `reading` has statements of its own: what is shown
together and no other room reads so. Nothing needs JavaScript; what there is makes it quicker.
"""
