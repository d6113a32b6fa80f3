"""One message per order, edited in place as the order moves on.

    orders = OrderStatus(messages, agent_id="…")
    orders.moved("1042", Status.PAID, visitor_id="…", version=event.number)
    orders.moved("1042", Status.SHIPPED, visitor_id="…", version=event.number, tracking="9114 5847")

The shop's events may come in any order and more than once: ``version``, a number or time that grows with each
event of an order, decides. An older event is ignored (``stale``), and so is an older cancellation. A cancelled
order's message is deleted; its version is remembered as long as the setting TOMBSTONE_FOR says, so that an
older event coming late does not show it again. What the ledger has never heard of leaves no such mark: when the
cancellation comes before every other event of its order, a later event shows the message, so send one more
cancellation after it, or leave that event out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from string import Formatter
from typing import TypeAlias

from pushledger.errors import InvalidJob, RefusedJob, SettingsError, UnknownLocalId
from pushledger.jobs import Delete, Upsert
from pushledger.message import Receipt
from pushledger.messages import AsyncMessages, Messages

__all__ = ["DEFAULT_TEMPLATES", "AsyncOrderStatus", "OrderStatus", "OrderTexts", "Status", "Template", "order_job"]


class Status(StrEnum):
    """Where an order stands."""

    RECEIVED = "received"
    PAID = "paid"
    PACKED = "packed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


# One text with named fields, or several: the first whose fields are all given is taken.
Template: TypeAlias = str | tuple[str, ...]
Templates: TypeAlias = Mapping[str, Mapping[Status, Template]]

DEFAULT_TEMPLATES: Templates = {
    "en": {
        Status.RECEIVED: "We have received your order {order_number}. Thank you!",
        Status.PAID: "Your order {order_number} is paid. We are getting it ready.",
        Status.PACKED: "Your order {order_number} is packed and will leave us soon.",
        Status.SHIPPED: (
            "Your order {order_number} is on its way. Tracking number: {tracking}",
            "Your order {order_number} is on its way.",
        ),
        Status.DELIVERED: "Your order {order_number} has been delivered. Enjoy!",
    },
    "de": {
        Status.RECEIVED: "Wir haben Ihre Bestellung {order_number} erhalten. Vielen Dank!",
        Status.PAID: "Ihre Bestellung {order_number} ist bezahlt. Wir bereiten sie vor.",
        Status.PACKED: "Ihre Bestellung {order_number} ist verpackt und geht bald auf die Reise.",
        Status.SHIPPED: (
            "Ihre Bestellung {order_number} ist unterwegs. Sendungsnummer: {tracking}",
            "Ihre Bestellung {order_number} ist unterwegs.",
        ),
        Status.DELIVERED: "Ihre Bestellung {order_number} ist zugestellt. Viel Freude damit!",
    },
    "fr": {
        Status.RECEIVED: "Nous avons bien reçu votre commande {order_number}. Merci !",
        Status.PAID: "Votre commande {order_number} est payée. Nous la préparons.",
        Status.PACKED: "Votre commande {order_number} est emballée et partira bientôt.",
        Status.SHIPPED: (
            "Votre commande {order_number} est en route. Numéro de suivi : {tracking}",
            "Votre commande {order_number} est en route.",
        ),
        Status.DELIVERED: "Votre commande {order_number} a été livrée. Bonne réception !",
    },
    "es": {
        Status.RECEIVED: "Hemos recibido tu pedido {order_number}. ¡Gracias!",
        Status.PAID: "Tu pedido {order_number} está pagado. Lo estamos preparando.",
        Status.PACKED: "Tu pedido {order_number} está embalado y saldrá pronto.",
        Status.SHIPPED: (
            "Tu pedido {order_number} está en camino. Número de seguimiento: {tracking}",
            "Tu pedido {order_number} está en camino.",
        ),
        Status.DELIVERED: "Tu pedido {order_number} ha sido entregado. ¡Que lo disfrutes!",
    },
}

# Arguments of moved(): a template could not be given fields of these names.
_TAKEN = {"self", "status", "visitor_id", "version", "language"}


@dataclass(frozen=True, slots=True)
class _Text:
    """A template taken apart: literal text, each followed by the name of a field or by nothing."""

    parts: tuple[tuple[str, str | None], ...]

    def missing(self, fields: Mapping[str, object]) -> list[str]:
        return [name for _, name in self.parts if name is not None and fields.get(name) is None]

    def filled(self, fields: Mapping[str, object]) -> str:
        return "".join(literal + ("" if name is None else str(fields[name])) for literal, name in self.parts)


class OrderTexts:
    """The texts of an order's message in several languages.

    A template holds named fields in braces, like ``{order_number}``, and nothing cleverer: no attributes,
    indexes or formats; ``{{`` and ``}}`` stand for braces. The default language must have every status but
    ``cancelled``, which has no text. Raises SettingsError that names language, status and rule.
    """

    def __init__(self, templates: Templates | None = None, default_language: str = "en") -> None:
        given = DEFAULT_TEMPLATES if templates is None else templates
        self._texts = {(_tag(language), status): texts for language, status, texts in _parsed(given)}
        self._default = _tag(default_language)
        for status in Status:
            if status is not Status.CANCELLED and (self._default, status) not in self._texts:
                raise _wrong(default_language, status, "the default language needs a text for it")

    def text(self, status: Status, language: str | None, fields: Mapping[str, object]) -> str:
        """The text for a status; ``de-AT`` falls back to ``de``, and that to the default language.

        A field that is None counts as not given. Raises InvalidJob that names the field that is missing.
        """
        for tag in self._fallbacks(language):
            texts = self._texts.get((tag, status))
            if texts is not None:
                return _fill(texts, fields, status, tag)
        raise InvalidJob("status", f"{status} has no text")

    def _fallbacks(self, language: str | None) -> Iterator[str]:
        if language is not None:
            yield _tag(language)
            yield _tag(language).partition("-")[0]
        yield self._default


def order_job(
    order_number: str,
    status: Status,
    *,
    texts: OrderTexts,
    visitor_id: str,
    version: int | datetime,
    agent_id: str | None = None,
    group_id: str | None = None,
    language: str | None = None,
    prefix: str = "order:",
    fields: Mapping[str, object] | None = None,
) -> Upsert | Delete:
    """The job that brings an order's message to a status. Raises InvalidJob."""
    if not _is_text(order_number):
        raise InvalidJob("order_number", "must be text that is not blank")
    if version is None:
        raise InvalidJob("version", "must be given, as it puts the order's events in order")
    local_id, status = prefix + order_number, _status(status)
    if status is Status.CANCELLED:
        return Delete(local_id, version=version)
    text = texts.text(status, language, {**(fields or {}), "order_number": order_number})
    return Upsert(local_id, visitor_id, text, agent_id, group_id, version=version)


class _Orders:
    def __init__(
        self,
        agent_id: str | None,
        group_id: str | None,
        templates: Templates | None,
        default_language: str,
        prefix: str,
    ) -> None:
        if (agent_id is None) == (group_id is None):
            raise SettingsError("agent_id: give exactly one of agent_id and group_id")
        self._agent_id, self._group_id, self._prefix = agent_id, group_id, prefix
        self._texts = OrderTexts(templates, default_language)

    def local_id(self, order_number: str) -> str:
        """The local id of an order's message."""
        return self._prefix + order_number

    def _job(
        self,
        order_number: str,
        status: Status,
        visitor_id: str,
        version: int | datetime,
        language: str | None,
        fields: Mapping[str, object],
    ) -> Upsert | Delete:
        return order_job(
            order_number,
            status,
            texts=self._texts,
            visitor_id=visitor_id,
            version=version,
            agent_id=self._agent_id,
            group_id=self._group_id,
            language=language,
            prefix=self._prefix,
            fields=fields,
        )


class OrderStatus(_Orders):
    """Keeps one message per order in step with it. Thread-safe; the module's text says how events are ordered.

    ``templates`` replaces DEFAULT_TEMPLATES; to change one language, give ``{**DEFAULT_TEMPLATES, "en": …}``.
    Raises SettingsError for templates that break a rule of OrderTexts.
    """

    def __init__(
        self,
        messages: Messages,
        *,
        agent_id: str | None = None,
        group_id: str | None = None,
        templates: Templates | None = None,
        default_language: str = "en",
        prefix: str = "order:",
    ) -> None:
        super().__init__(agent_id, group_id, templates, default_language, prefix)
        self._messages = messages

    def moved(
        self,
        order_number: str,
        status: Status,
        *,
        visitor_id: str,
        version: int | datetime,
        language: str | None = None,
        **fields: object,
    ) -> Receipt | None:
        """Show that an order has come to a status; ``cancelled`` takes the message away.

        ``fields`` are for the templates, which take what they need. Returns None when a cancelled order was
        never shown. Raises InvalidJob (a field is missing, for one), RefusedJob and LedgerUnavailable.
        """
        job = self._job(order_number, status, visitor_id, version, language, fields)
        return _receipt(self._messages.submit([job])[0])


class AsyncOrderStatus(_Orders):
    """The same for asyncio; see OrderStatus."""

    def __init__(
        self,
        messages: AsyncMessages,
        *,
        agent_id: str | None = None,
        group_id: str | None = None,
        templates: Templates | None = None,
        default_language: str = "en",
        prefix: str = "order:",
    ) -> None:
        super().__init__(agent_id, group_id, templates, default_language, prefix)
        self._messages = messages

    async def moved(
        self,
        order_number: str,
        status: Status,
        *,
        visitor_id: str,
        version: int | datetime,
        language: str | None = None,
        **fields: object,
    ) -> Receipt | None:
        """Show that an order has come to a status; see OrderStatus.moved."""
        job = self._job(order_number, status, visitor_id, version, language, fields)
        return _receipt((await self._messages.submit([job]))[0])


def _receipt(answer: Receipt | RefusedJob) -> Receipt | None:
    # Only a delete meets this: an upsert creates what is not there.
    if isinstance(answer, UnknownLocalId):
        return None
    if isinstance(answer, RefusedJob):
        raise answer
    return answer


def _status(status: str) -> Status:
    try:
        return Status(status)
    except ValueError as error:
        raise InvalidJob("status", f"must be one of {', '.join(Status)}") from error


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _tag(language: str) -> str:
    return language.replace("_", "-").lower()


def _fill(texts: tuple[_Text, ...], fields: Mapping[str, object], status: Status, language: str) -> str:
    for text in texts:
        if not text.missing(fields):
            return text.filled(fields)
    # The last text asks for least.
    raise InvalidJob(texts[-1].missing(fields)[0], f"the text for {status} in {language} needs it")


def _parsed(templates: Templates) -> Iterable[tuple[str, Status, tuple[_Text, ...]]]:
    for language, by_status in templates.items():
        for name, template in by_status.items():
            try:
                status = Status(name)
            except ValueError:
                raise _wrong(language, name, f"is no status; there are {', '.join(Status)}") from None
            if status is Status.CANCELLED:
                raise _wrong(language, status, "must have no text, as the message is deleted")
            variants = (template,) if isinstance(template, str) else tuple(template)
            if not variants:
                raise _wrong(language, status, "must have a text")
            yield language, status, tuple(_parse(language, status, variant) for variant in variants)


def _parse(language: str, status: Status, template: str) -> _Text:
    if not _is_text(template):
        raise _wrong(language, status, "must be text that is not blank")
    try:
        parts = tuple(Formatter().parse(template))
    except ValueError as error:
        raise _wrong(language, status, f"is malformed: {error}") from None
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise _wrong(language, status, f"may hold plain fields like {{order_number}} only, not {{{name}…}}")
        if name in _TAKEN:
            raise _wrong(language, status, f"cannot use {{{name}}}: it is no field, but an argument of moved()")
    return _Text(tuple((literal, name) for literal, name, _, _ in parts))


def _wrong(language: str, status: str, rule: str) -> SettingsError:
    return SettingsError(f"templates: {language}, {status}: {rule}")
