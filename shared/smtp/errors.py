"""
Whose fault it is: the three errors of the SMTP side.

The class decides what the shell does. A remote error ends that one connection. A local error means that our own code
broke the protocol: it is a bug and is not caught. A reply text error is shown to whoever wrote the policy.
"""


class ProtocolError(Exception):
    """Root of both protocol errors; never raised itself."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow: close the connection; the MTA then takes its default action."""


class LocalProtocolError(ProtocolError):
    """We were about to send, or to skip, what the protocol does not allow: a bug of the caller, nothing was sent."""


class ReplyTextError(ValueError):
    """A reply or a template of one cannot be sent as it stands: correct the text in the policy."""
