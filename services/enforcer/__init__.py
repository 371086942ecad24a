"""The one writer of the law: sightings and requests in, log, decisions and state out, in one transaction."""
