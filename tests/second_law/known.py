"""
Where the log differs from the second law's reading of the page, for the time being: True follows the log.

Each is written down in `docs/architecture/second-law.md`. When the code is put right, its line goes; set to False, the lives find it again.
"""

KNOWN_REPEATED_AFTER_DELIVERY = True
"""The log repeats the notice before blocking though one was delivered meanwhile, until blocking is granted."""

KNOWN_PLACE_AT_ADOPTION = True
"""At an adoption servers are asked by their ids: who newly asks stands before an older waiter of a later id, who then gets no room."""

KNOWN_OTHER_IDS_LATER = True
"""In the log the exemption of a server or peer, and its end, reach cases under other ids at their next sighting or adoption only."""

KNOWN_SIBLINGS_SHARE_A_PLACE = True
"""Two cases of one server that fall due at one instant and must wait are told the same place in the queue, and the same day."""

KNOWN_OLD_NAME_ENDS_LATER = True
"""The end of an exemption of a connector that was renamed meanwhile reaches its cases at their next sighting or adoption only."""

KNOWN_OLD_NAMES_OF_IDS_ON_RECORD = True
"""An exemption by a former name spares those whose ids on record have that name, so the others of the connector from their next news on."""
