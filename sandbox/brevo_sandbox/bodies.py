"""The body of a request, read field by field; whatever is wrong with it is a refusal."""

from __future__ import annotations

from brevo_sandbox.endings import Reply, refusal
from brevo_sandbox.incoming import Incoming
from brevo_sandbox.rules import Rules


class RefusedError(Exception):
    """The request is turned down; `answer` says so to the caller."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.status)
        self.answer = answer


def document(request: Incoming) -> dict[str, object]:
    """Take the JSON object that a POST or a PUT must bring."""
    media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RefusedError(refusal(406, "not_acceptable", "The content type must be application/json"))
    if not request.readable or not isinstance(request.document, dict):
        raise RefusedError(refusal(400, "bad_request", "The body is not a JSON object"))
    return dict(request.document)


def optional(fields: dict[str, object], name: str) -> str | None:
    """Take a string that may be absent, but not blank."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(refusal(400, "invalid_parameter", f"{name} is invalid"))
    return value


def required(fields: dict[str, object], name: str) -> str:
    """Take a string that must be there."""
    value = optional(fields, name)
    if value is None:
        raise RefusedError(refusal(400, "missing_parameter", f"{name} is missing"))
    return value


def text_of(fields: dict[str, object], rules: Rules) -> str:
    """Take the text to show, as long and as blank as the rules let it be."""
    value = fields.get("text")
    blank_will_do = rules.accept_blank_text and isinstance(value, str)
    text = str(value) if blank_will_do else required(fields, "text")
    if rules.longest_text and len(text) > rules.longest_text:
        raise RefusedError(refusal(400, "out_of_range", f"text is longer than {rules.longest_text} characters"))
    return text
