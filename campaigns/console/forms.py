"""The forms of a page, as a browser would send them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(slots=True)
class Form:
    """Where it is sent, what it holds as it is, and what people may type in."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.open: Form | None = None
        self.select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.open = Form(said["action"]) if said.get("method") == "post" and "action" in said else None
            if self.open is not None:
                self.forms.append(self.open)
        if self.open is None:
            return
        match tag:
            case "select":
                self.select = said["name"]
            case "option" if self.select and ("selected" in said or self.select not in self.open.fields):
                self.open.fields[self.select] = said.get("value", "")
            case "textarea":
                self.open.typed.append(said["name"])
            case "input" | "button" if said.get("type") not in ("checkbox", "radio") and said.get("name"):
                self.open.fields[said["name"]] = said.get("value", "")
                if tag == "input" and said.get("type") != "hidden":
                    self.open.typed.append(said["name"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.open = None
        if tag == "select":
            self.select = None


def forms_of(page: str) -> list[Form]:
    """The forms that a page sends by POST."""
    reader = _Reader()
    reader.feed(page)
    return reader.forms
