"""Web processes that are stopped and begun anew under load: what clients see of it."""
