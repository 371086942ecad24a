"""
Where the log differs from the second law's reading of the page, for the time being: True follows the log.

Each is written down in `docs/architecture/second-law.md`. When the code is put right, its line goes; set to False, the lives find it again.
"""

KNOWN_REPEATED_AFTER_DELIVERY = True
"""The log repeats the notice before blocking though one was delivered meanwhile, until blocking is granted."""

KNOWN_PLACE_AT_ADOPTION = True
"""At an adoption servers are asked by their ids: who newly asks stands before an older waiter of a later id, who then gets no room."""

KNOWN_SIBLINGS_SHARE_A_PLACE = True
"""Two cases of one server that fall due at one instant and must wait are told the same place in the queue, and the same day."""
