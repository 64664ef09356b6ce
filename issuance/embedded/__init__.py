"""The embedded servers of `./run` and `./test`, and the supervisor that runs everything on one machine."""
