"""
`patchgate look`: who sends to me, how old, how sure; from mail that is already there. No broker, no set-up, no network.

One way: paths -> pieces (`sources`) -> header blocks (`mailbox`, `jsonl`, `postfix_log`, `rspamd`) -> tallies, one a piece, merged
(`tally`) -> the fleet (`fleet`) -> what the policy would do (`outlook`) -> screen, JSON, CSV, HTML.
"""
