"""`issuance demo`: a small spa club on a sandbox brand, four billing cycles in a few seconds.

cast (who takes part) → biller (what is billed) → story (what happens, and what must come of it);
sandbox is the way to the running server, over HTTP as any integrator goes.
"""

from issuance.cli.demo.command import demo

__all__ = ["demo"]
