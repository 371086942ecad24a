"""
The errors of patchgate: the class decides what a shell does.

InputError: outside input is wrong, for good: dead letter, go on.
TransientError: may pass when tried again: do not commit; bounded back-off.
InvariantError: we are wrong: stop, for a skipped record would corrupt the fold.
ConfigError: settings, policy or catalogue unusable: exit at start with one clear line.
"""


class PatchgateError(Exception):
    """Root of every error that patchgate raises on purpose."""


class InputError(PatchgateError):
    """Outside input is wrong and stays wrong; the text says what, where, and what to do."""


class BuildSyntaxError(InputError):
    """A text is not a build of four numbers."""


class RecordSchemaError(InputError):
    """A record of a topic cannot be read as what that topic holds."""


class TransientError(PatchgateError):
    """May pass if tried again; the operator waits or looks at the broker."""


class InvariantError(PatchgateError):
    """We are wrong; the process stops rather than write a wrong record."""


class VersionGap(InvariantError):
    """A log record does not follow the one before it: seq or hash is off. The operator runs `patchgate audit verify`."""


class EventSchemaError(InvariantError):
    """A record of our own log cannot be read: it was written by a newer patchgate, or damaged."""


class ConfigError(PatchgateError):
    """Settings, policy or catalogue cannot be used; the text names the key and what it takes."""
