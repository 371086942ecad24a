"""The table of contacts in memory: who is told about a server. The only place where we hold addresses."""

from collections import defaultdict

from shared.domain.events import NoticeDue
from shared.domain.records import Contact


class Contacts:
    """All contacts by id, found by what they are responsible for."""

    def __init__(self) -> None:
        self._by_id: dict[str, Contact] = {}
        self._by_scope: defaultdict[tuple[str, str], dict[str, Contact]] = defaultdict(dict)

    def put(self, contact: Contact) -> None:
        """Add *contact*, or put it in place of the one with its id."""
        self.erase(contact.id)
        self._by_id[contact.id] = contact
        self._by_scope[_scope(contact)][contact.id] = contact

    def erase(self, contact_id: str) -> None:
        """Forget a contact; one that is not there is forgotten already."""
        contact = self._by_id.pop(contact_id, None)
        if contact is not None:
            of_scope = self._by_scope[_scope(contact)]
            del of_scope[contact_id]
            if not of_scope:
                del self._by_scope[_scope(contact)]

    def for_notice(self, notice: NoticeDue) -> list[Contact]:
        """The server's own contacts, else those of its connector; by id."""
        found = self._by_scope.get(("server", notice.server)) or self._by_scope.get(("connector", notice.connector), {})
        return [found[contact_id] for contact_id in sorted(found)]

    def __len__(self) -> int:
        return len(self._by_id)


def _scope(contact: Contact) -> tuple[str, str]:
    return ("server", contact.server) if contact.server else ("connector", contact.connector)
