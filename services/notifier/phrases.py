"""
The sentences of the notices, once for each language. Plain words for somebody who looks after one mail server beside other work.

Each field is a paragraph that `texts.py` fills and wraps; names in braces are its values.
"""

import msgspec


class Phrases(msgspec.Struct, frozen=True, kw_only=True):
    """All that a notice can say, in one language. subject, opening: by what the notice is about, `_Writer._kind` of `texts.py`."""

    subject: dict[str, str]
    opening: dict[str, str]
    stage_throttled: str
    stage_blocked: str
    stage_closed: str
    seen_heading: str
    seen_by: str
    seen_before_heading: str
    seen_before: str
    seen_number: str
    seen_range: str
    seen_no_number: str
    seen_cut: str
    needed: str
    needed_none: str
    dates_heading: str
    dates_words: str
    dates_blocking: str
    date_column: str
    not_before_column: str
    delayed_column: str
    refused_column: str
    per_hour: str
    in_force: str
    todo_heading: str
    todo_update: str
    todo_ended: str
    todo_replace: str
    check_heading: str
    check_line: str
    check_command: str
    check_shell: str
    check_higher: str
    check_product: str
    ends_heading: str
    ends: str
    after_release: str
    time_heading: str
    time_pause: str
    time_dispute: str
    ask_heading: str
    ask: str
    footer: str


ENGLISH = Phrases(
    subject={
        "opening": "{host}: your mail server is out of date; limits begin {date}",
        "opening-again": "{host}: your mail server is out of date again; mail is delayed from {date}",
        "before-throttling": "{host}: mail will be delayed from {date}",
        "stage": "{host}: mail is now delayed (stage {stage}, {date})",
        "stage-blocking": "{host}: mail is now refused (stage {stage}, {date})",
        "before-blocking": "{host}: mail will be refused, not before {date}",
        "release": "{host}: all limits on your mail are lifted ({date})",
    },
    opening={
        "opening": (
            "your mail server {host} sends us mail, and its software is out of date: it lacks security updates. "
            "For now all of its mail passes as before. If it stays as it is, we will first delay and later refuse its mail, "
            "on the dates below."
        ),
        "opening-again": (
            "your mail server {host} sends us mail, and its software is out of date: it lacks security updates. "
            "It was known to us before, and the old software has come back. So the dates go on from where they stood, and "
            "some of its mail is delayed from now on, {minutes}. Nothing is lost by that: your server tries again by itself. "
            "What follows stands below."
        ),
        "before-throttling": (
            "a reminder: your mail server {host} is still out of date. From {date} (UTC) on we will delay some of its mail, "
            "{minutes}. Nothing is lost by that: your server tries again by itself."
        ),
        "stage": "your mail server {host} is still out of date. Stage {stage} of the dates below has begun.",
        "before-blocking": (
            "your mail server {host} is still out of date. Not before {date} (UTC) we will begin to refuse some of its mail, "
            "{minutes}. Refused mail comes back to the person who wrote it."
        ),
        "release": (
            "a mail from your server {host} has shown software that we accept. Thank you. All limits on its mail were "
            "lifted at once, on {date} (UTC). There is nothing more for you to do."
        ),
    },
    stage_throttled="In {throttle} minutes of each hour its mail is now delayed. Your server tries again by itself; nothing is lost.",
    stage_blocked="In {block} minutes of each hour its mail is now refused, and comes back to the person who wrote it.",
    stage_closed="All of its mail is now refused, and comes back to the person who wrote it.",
    seen_heading="What was seen",
    seen_by="Our mail server {edge} took a mail with this line, which your server wrote itself, on {seen} (UTC){local}:",
    seen_before_heading="What had been seen before",
    seen_before="Our mail server {edge} last took a mail with the old software, shown by this line, on {seen} (UTC){local}:",
    seen_number="It names {product}, build {shown}.",
    seen_range="Such a line can hide later updates, up to build {high}; that, too, would not be enough.",
    seen_no_number="It shows no build, but only {product} writes a line of this kind.",
    seen_cut="(The line is longer; this is its beginning.)",
    needed="What we need to see is {least} or newer.",
    needed_none="No build of {product} is accepted any more, because it no longer gets security updates.",
    dates_heading="What happens when",
    dates_words=(
        "Delayed means: in so many minutes of each hour our server answers 450, and yours tries again. "
        "Refused means: it answers 550, and the sender gets the mail back. The dates can move to later, never to earlier."
    ),
    dates_blocking="Mail is refused no earlier than on these dates; they may come later:",
    date_column="from",
    not_before_column="not before",
    delayed_column="delayed",
    refused_column="refused",
    per_hour="{minutes} min/h",
    in_force="now",
    todo_heading="What to do",
    todo_update=(
        "Install the newest update for {product}: at least {least}. Install the cumulative update (CU) first if yours is "
        "older than the one named, then the security update (SU). Restart the server afterwards."
    ),
    todo_ended=(
        "Mind that public support for {product} ended on {ended}. The update named here is accepted today; "
        "plan to replace the server by one that still gets security updates."
    ),
    todo_replace=(
        "There is no update that would help: for {product} none is published any more that we could accept. "
        "Replace it by a mail server, of any make, that still gets security updates, or let one of those send your mail. "
        "Which one is your choice."
    ),
    check_heading="How to check it yourself",
    check_line=(
        "Send a mail from your server to a mailbox elsewhere and look at its source. The number stands in the topmost "
        'Received line that says "by {host}", behind "id".'
    ),
    check_command="On the server, the Exchange Management Shell shows what is really installed:",
    check_shell=(
        "Do not rely on Get-ExchangeServer: it shows the cumulative update (CU) only, and not the security update (SU) on top."
    ),
    check_higher="If the server shows a higher number than we saw, tell us: it may be another server, or one of several.",
    check_product=(
        "Send a mail from your server to a mailbox elsewhere and look at its source. The topmost Received line that says "
        '"by {host}" is of the kind shown above. If that is not your server, or not its software, tell us.'
    ),
    ends_heading="How it ends",
    ends=(
        "By itself. The first mail that shows accepted software is let in and lifts everything at once, within "
        "moments. You need not tell us, and nobody has to switch anything."
    ),
    after_release=(
        "Should mail from it show the old software again, a new case begins. If you have several servers, check that all are updated."
    ),
    time_heading="If you need time, or this is wrong",
    time_pause=(
        "You need more time? Tell us, best before the next date: we can pause for some days, of which there is a fixed number "
        "each year. During a pause all mail passes and the dates wait; afterwards they go on."
    ),
    time_dispute=(
        "You think that this is wrong: the server is up to date, or the line is not your server's? Tell us which build is "
        "installed. While we look into it, for a limited number of days, all its mail passes and the dates wait."
    ),
    ask_heading="Whom to ask",
    ask="{whom}. Please give the number of this notice: {notice}.",
    footer="This mail was written by a program, for {receiver}. Server: {server}",
)

GERMAN = Phrases(
    subject={
        "opening": "{host}: Ihr Mailserver ist veraltet; Einschränkungen ab {date}",
        "opening-again": "{host}: Ihr Mailserver ist wieder veraltet; Mail wird ab {date} verzögert",
        "before-throttling": "{host}: Mail wird ab {date} verzögert",
        "stage": "{host}: Mail wird jetzt verzögert (Stufe {stage}, {date})",
        "stage-blocking": "{host}: Mail wird jetzt abgewiesen (Stufe {stage}, {date})",
        "before-blocking": "{host}: Mail wird abgewiesen, frühestens ab {date}",
        "release": "{host}: alle Einschränkungen Ihrer Mail sind aufgehoben ({date})",
    },
    opening={
        "opening": (
            "Ihr Mailserver {host} schickt uns Mail, und seine Software ist veraltet: ihr fehlen Sicherheitsupdates. "
            "Vorerst kommt alle seine Mail durch wie bisher. Bleibt es dabei, so verzögern wir seine Mail zuerst und "
            "weisen sie später ab, zu den unten genannten Zeiten."
        ),
        "opening-again": (
            "Ihr Mailserver {host} schickt uns Mail, und seine Software ist veraltet: ihr fehlen Sicherheitsupdates. "
            "Er war uns schon bekannt, und die alte Software ist wieder da. Die Zeiten laufen deshalb dort weiter, wo sie "
            "standen, und ein Teil seiner Mail wird ab jetzt verzögert, {minutes}. Dabei geht nichts verloren: Ihr Server versucht es "
            "von selbst wieder. Was folgt, steht unten."
        ),
        "before-throttling": (
            "zur Erinnerung: Ihr Mailserver {host} ist weiterhin veraltet. Ab {date} (UTC) verzögern wir einen Teil "
            "seiner Mail, {minutes}. Dabei geht nichts verloren: Ihr Server versucht es von selbst wieder."
        ),
        "stage": "Ihr Mailserver {host} ist weiterhin veraltet. Stufe {stage} der unten genannten Zeiten hat begonnen.",
        "before-blocking": (
            "Ihr Mailserver {host} ist weiterhin veraltet. Frühestens ab {date} (UTC) weisen wir einen Teil seiner Mail "
            "ab, {minutes}. Abgewiesene Mail geht an die Person zurück, die sie geschrieben hat."
        ),
        "release": (
            "eine Mail Ihres Servers {host} zeigte Software, die wir annehmen. Vielen Dank. Alle Einschränkungen seiner "
            "Mail sind sofort aufgehoben worden, am {date} (UTC). Sie müssen nichts weiter tun."
        ),
    },
    stage_throttled=(
        "In {throttle} Minuten jeder Stunde wird seine Mail nun verzögert. Ihr Server versucht es von selbst wieder; "
        "es geht nichts verloren."
    ),
    stage_blocked=(
        "In {block} Minuten jeder Stunde wird seine Mail nun abgewiesen und geht an die Person zurück, "
        "die sie geschrieben hat."
    ),
    stage_closed="Alle seine Mail wird nun abgewiesen und geht an die Person zurück, die sie geschrieben hat.",
    seen_heading="Was gesehen wurde",
    seen_by="Unser Mailserver {edge} nahm am {seen} (UTC){local} eine Mail mit dieser Zeile an, die Ihr Server selbst schrieb:",
    seen_before_heading="Was zuvor gesehen wurde",
    seen_before="Unser Mailserver {edge} nahm zuletzt am {seen} (UTC){local} eine Mail an, deren Zeile die alte Software zeigt:",
    seen_number="Sie nennt {product}, Build {shown}.",
    seen_range="Eine solche Zeile kann spätere Updates verbergen, bis zum Build {high}; auch dieser würde nicht genügen.",
    seen_no_number="Sie zeigt keinen Build, aber nur {product} schreibt eine Zeile dieser Art.",
    seen_cut="(Die Zeile ist länger; dies ist ihr Anfang.)",
    needed="Wir müssen {least} oder neuer sehen.",
    needed_none="Von {product} nehmen wir keinen Build mehr an, weil es keine Sicherheitsupdates mehr bekommt.",
    dates_heading="Was wann geschieht",
    dates_words=(
        "Verzögert heißt: in so vielen Minuten jeder Stunde antwortet unser Server mit 450, und Ihrer versucht es wieder. "
        "Abgewiesen heißt: er antwortet mit 550, und die Mail geht an den Absender zurück. Die Zeiten können später werden, nie früher."
    ),
    dates_blocking="Abgewiesen wird frühestens zu diesen Zeiten; es kann später werden:",
    date_column="ab",
    not_before_column="frühestens ab",
    delayed_column="verzögert",
    refused_column="abgewiesen",
    per_hour="{minutes} Min/h",
    in_force="jetzt",
    todo_heading="Was zu tun ist",
    todo_update=(
        "Installieren Sie das neueste Update für {product}: mindestens {least}. Ist Ihr kumulatives Update (CU) älter als das "
        "genannte, installieren Sie zuerst dieses, danach das Sicherheitsupdate (SU). Starten Sie den Server dann neu."
    ),
    todo_ended=(
        "Beachten Sie, dass die allgemeine Unterstützung für {product} am {ended} endete. Das genannte Update wird heute "
        "angenommen; planen Sie, den Server durch einen zu ersetzen, der noch Sicherheitsupdates bekommt."
    ),
    todo_replace=(
        "Ein Update hilft hier nicht: für {product} erscheint keines mehr, das wir annehmen könnten. Ersetzen Sie es durch "
        "einen Mailserver, gleich welcher Herkunft, der noch Sicherheitsupdates bekommt, oder lassen Sie Ihre Mail durch "
        "einen solchen versenden. Welcher das ist, entscheiden Sie."
    ),
    check_heading="Wie Sie es selbst prüfen",
    check_line=(
        "Schicken Sie von Ihrem Server eine Mail an ein Postfach außerhalb und sehen Sie sich ihren Quelltext an. Die Nummer "
        'steht in der obersten Received-Zeile mit "by {host}", hinter "id".'
    ),
    check_command="Auf dem Server zeigt die Exchange Management Shell, was wirklich installiert ist:",
    check_shell=(
        "Verlassen Sie sich nicht auf Get-ExchangeServer: es zeigt nur das kumulative Update (CU), nicht das "
        "Sicherheitsupdate (SU) darüber."
    ),
    check_higher=(
        "Zeigt der Server eine höhere Nummer, als wir sahen, so sagen Sie es uns: vielleicht ist es ein anderer Server oder "
        "einer von mehreren."
    ),
    check_product=(
        "Schicken Sie von Ihrem Server eine Mail an ein Postfach außerhalb und sehen Sie sich ihren Quelltext an. Die oberste "
        'Received-Zeile mit "by {host}" ist von der oben gezeigten Art. Ist das nicht Ihr Server oder nicht seine Software, '
        "so sagen Sie es uns."
    ),
    ends_heading="Wie es endet",
    ends=(
        "Von selbst. Die erste Mail, die angenommene Software zeigt, wird durchgelassen und hebt sofort alles auf. "
        "Sie müssen uns nichts melden, und niemand muss etwas umschalten."
    ),
    after_release=(
        "Zeigt Mail von ihm wieder die alte Software, so beginnt ein neuer Fall. Haben Sie mehrere Server, "
        "so prüfen Sie, ob alle aktualisiert sind."
    ),
    time_heading="Wenn Sie Zeit brauchen oder dies nicht stimmt",
    time_pause=(
        "Sie brauchen mehr Zeit? Sagen Sie es uns, am besten vor dem nächsten Termin: wir können für einige Tage anhalten, von denen es im Jahr eine "
        "feste Zahl gibt. Solange geht alle Mail durch, und die Zeiten warten; danach laufen sie weiter."
    ),
    time_dispute=(
        "Sie meinen, dass dies nicht stimmt: der Server ist auf dem neuesten Stand, oder die Zeile ist nicht von Ihrem Server? "
        "Sagen Sie uns, welcher Build installiert ist. Während wir es prüfen, für eine begrenzte Zahl von Tagen, geht alle seine "
        "Mail durch, und die Zeiten warten."
    ),
    ask_heading="Wen Sie fragen können",
    ask="{whom}. Nennen Sie bitte die Nummer dieser Nachricht: {notice}.",
    footer="Diese Mail schrieb ein Programm, für: {receiver}. Server: {server}",
)

PHRASES = {"en": ENGLISH, "de": GERMAN}
GREETING = {"en": "Hello,", "de": "Guten Tag,"}
EVERY_HOUR = {"en": "in {minutes} minutes of each hour", "de": "in {minutes} Minuten jeder Stunde"}
