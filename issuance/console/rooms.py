"""The rooms of the console, as its navigation shows them."""

from typing import NamedTuple

from issuance.people.roles import Role


class Room(NamedTuple):
    """A place in the navigation. `sandbox`: only sandbox brands have it."""

    name: str
    address: str
    label: str
    role: Role = "viewer"
    sandbox: bool = False


ROOMS = (
    Room("start", "/", "Start"),
    Room("memberships", "/memberships", "Memberships"),
    Room("credits", "/credits", "Credits"),
    Room("rules", "/rules", "Rules"),
    Room("catalog", "/catalog", "Types and coupons"),
    Room("runs", "/runs", "Runs"),
    Room("liability", "/liability", "Liability by month"),
    Room("events", "/events", "Events in"),
    Room("webhooks", "/webhooks", "Webhooks"),
    Room("audit", "/audit", "Audit", "admin"),
    Room("access", "/access", "Keys and people", "admin"),
    Room("clock", "/clock", "Sandbox clock", sandbox=True),
)
