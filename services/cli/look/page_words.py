"""What the page says, in each language: one value a language, so a word that is missing does not build."""

from typing import NamedTuple


class Words(NamedTuple):
    """
    All texts of the page in one language; names in braces are filled in.

    number_marks: thousands and decimal mark. Dicts go by the codes of the report; pairs are for one and for more.
    """

    language: str
    name: str
    number_marks: str
    title: str
    lead: str
    own: str
    inferred: str
    data: str
    no_lines: str
    undated: str
    tiles: tuple[str, str, str, str, str]
    ages_title: str
    ages_caption: str
    ages: dict[str, str]
    updates_title: str
    updates_caption: str
    risk_title: str
    risk_caption: str
    risk: dict[str, str]
    outlook_title: str
    outlook_lead: str
    outlook_columns: tuple[str, str, str, str, str, str]
    stage: str
    warned: str
    deferred: str
    refused: str
    servers_title: str
    columns: tuple[str, ...]
    standings: dict[str, str]
    ties: dict[str, str]
    no_build: str
    build_range: str
    not_opened: str
    why_not: dict[str, str]
    contradictions: dict[str, str]
    hides: str
    more: str
    gateways_title: str
    gateways_lead: str
    cannot_title: str
    cannot: tuple[str, ...]
    troubles_title: str
    none_title: str
    mails: tuple[str, str]
    hours: tuple[str, str]
    day: str
    week: str
    quarter: str
    servers: tuple[str, str]


ENGLISH = Words(
    language="en",
    name="English",
    number_marks=",.",
    title="Who sends mail to you, and how old their servers are",
    lead="{mails} from {first} to {last}, read on {on}; from outside came {outside}.",
    own="Own servers: {own}.",
    inferred="inferred from the mails",
    data="Updates and holes as known on {data}; this report is of {on}.",
    no_lines="Of {mails} mails the log shows no line, so no product: see “patchgate recipe postfix-log”.",
    undated="Without a day, for a date that cannot be read or is still to come: {mails}.",
    tiles=(
        "servers that are judged",
        "of them out of date",
        "of the mails from outside came from them",
        "holes known to be exploited, at worst",
        "peers in all",
    ),
    ages_title="Age of the fleet over time",
    ages_caption="Mails of judged servers a {unit}, by how long security updates were missing when the mail came.",
    ages={
        "current": "up to date",
        "half-year": "missing for under 6 months",
        "two-years": "for 6 to 24 months",
        "older": "for over 24 months",
        "unsure": "cannot be told",
    },
    updates_title="Builds against the dates of updates",
    updates_caption="Each circle stands at the day on which the update of these servers came out; in it stands how many. Small ticks are security updates of that product, of Exchange 2007 and 2010 update rollups.",
    risk_title="Mails at risk by day",
    risk_caption="A usual day's mails of the servers that would have a case, for each day after the policy is switched on. Deferred mails come later; refused ones bounce.",
    risk={"pass": "passes at once", "defer": "deferred at first", "refuse": "refused"},
    outlook_title="If the policy were switched on today",
    outlook_lead="“{policy}”, enforced for all of them, if nobody patches. Whoever patches is let through at once.",
    outlook_columns=("day", "servers", "what happens", "their mails a day", "deferred at first", "refused"),
    stage="stage {number}",
    warned="warned, all mail passes",
    deferred="{minutes} min an hour deferred",
    refused="{minutes} min an hour refused",
    servers_title="Servers, worst first",
    columns=(
        "server",
        "product and build",
        "standing",
        "months behind",
        "exploited holes",
        "support ended",
        "tied to its sender",
        "mails a day",
        "seen",
    ),
    standings={"below": "out of date", "unknown": "not sure", "at or above": "meets the policy", "": "not judged"},
    ties={
        "connector": "connector",
        "verified": "sure: DNS confirms the name",
        "helo": "likely: HELO says the name",
        "domain": "weak: same domain only",
        "untied": "no: anybody could write this",
    },
    no_build="no build shown",
    build_range="between {low} and {high}",
    not_opened="No case would open: {why}.",
    why_not={
        "no-floor": "the policy has no floor for this product",
        "not-below": "it is not below the floor",
        "not-sure": "its build is not known well enough",
        "untied": "its lines are tied to nobody",
        "not-seen-lately": "it was not seen for longer than the policy keeps a case",
        "too-few-hours": "it was seen in {hours}, and the policy asks for more",
    },
    contradictions={
        "two-readings-at-once": "Shows two builds at the same time that exclude each other: two servers behind one name, or made up.",
        "build-went-back": "A later mail shows an older build: a second server, a restore, or made up.",
        "same-name-elsewhere": "Another peer is tied to this name: these lines are likely made up, or came through a relay.",
    },
    hides="Passes on mail of other servers: {hidden}.",
    more="{count} more servers are not shown; the JSON and CSV forms hold them.",
    gateways_title="Gateways that hide others",
    gateways_lead="Hints only: what stands deeper in the headers came as content of the mail. Nobody is judged by it.",
    cannot_title="What a header cannot show",
    cannot=(
        "A header shows what a server says of itself, and anybody can write one. Only where the name is tied to who connected is it held to be true.",
        "A gateway or provider in front hides the server behind it.",
        "Lines of Exchange lag behind the installed build at times. Then a range is given, and only what holds for the whole of it counts.",
        "Exim and Sendmail are shown and never judged: distributions mend them without changing the number.",
    ),
    troubles_title="Not read: {count}",
    none_title="No server that is judged was seen.",
    mails=("{count} mail", "{count} mails"),
    hours=("{count} hour only", "{count} different hours"),
    day="day",
    week="week",
    quarter="quarter of 13 weeks",
    servers=("{count} server", "{count} servers"),
)

GERMAN = Words(
    language="de",
    name="Deutsch",
    number_marks=".,",
    title="Wer Ihnen Mail schickt, und wie alt deren Server sind",
    lead="{mails} vom {first} bis {last}, gelesen am {on}; von außen kamen {outside}.",
    own="Eigene Server: {own}.",
    inferred="aus den Mails erschlossen",
    data="Updates und Lücken nach dem Stand vom {data}; dieser Bericht ist vom {on}.",
    no_lines="Von {mails} Mails zeigt das Log keine Zeile, also kein Produkt: siehe „patchgate recipe postfix-log“.",
    undated="Ohne Tag, weil ihr Datum nicht zu lesen ist oder erst kommt: {mails}.",
    tiles=(
        "beurteilte Server",
        "davon veraltet",
        "der Mails von außen kamen von ihnen",
        "nachweislich ausgenutzte Lücken, schlimmster Fall",
        "Gegenstellen insgesamt",
    ),
    ages_title="Alter der Flotte im Lauf der Zeit",
    ages_caption="Mails beurteilter Server je {unit}, danach, wie lange Sicherheitsupdates fehlten, als die Mail kam.",
    ages={
        "current": "aktuell",
        "half-year": "fehlen seit unter 6 Monaten",
        "two-years": "seit 6 bis 24 Monaten",
        "older": "seit über 24 Monaten",
        "unsure": "nicht zu sagen",
    },
    updates_title="Builds und die Tage der Updates",
    updates_caption="Jeder Kreis steht an dem Tag, an dem das Update dieser Server erschien; darin steht, wie viele es sind. Kleine Striche sind Sicherheitsupdates des Produkts, bei Exchange 2007 und 2010 Updaterollups.",
    risk_title="Gefährdete Mails nach Tagen",
    risk_caption="Mails eines üblichen Tages von den Servern, die einen Fall hätten, für jeden Tag nach dem Einschalten der Policy. Verzögerte Mails kommen später; abgewiesene gehen an den Absender zurück.",
    risk={"pass": "kommt sofort an", "defer": "zunächst verzögert", "refuse": "abgewiesen"},
    outlook_title="Wenn die Policy heute eingeschaltet würde",
    outlook_lead="„{policy}“, für alle durchgesetzt, wenn niemand nachbessert. Wer nachbessert, wird sofort durchgelassen.",
    outlook_columns=("Tag", "Server", "was geschieht", "ihre Mails am Tag", "zunächst verzögert", "abgewiesen"),
    stage="Stufe {number}",
    warned="gewarnt, alle Mails kommen an",
    deferred="{minutes} min je Stunde verzögert",
    refused="{minutes} min je Stunde abgewiesen",
    servers_title="Server, die schlimmsten zuerst",
    columns=(
        "Server",
        "Produkt und Build",
        "Stand",
        "Monate zurück",
        "ausgenutzte Lücken",
        "Support endete",
        "an den Absender gebunden",
        "Mails am Tag",
        "gesehen",
    ),
    standings={"below": "veraltet", "unknown": "unsicher", "at or above": "erfüllt die Policy", "": "nicht beurteilt"},
    ties={
        "connector": "Konnektor",
        "verified": "sicher: DNS bestätigt den Namen",
        "helo": "wahrscheinlich: HELO nennt den Namen",
        "domain": "schwach: nur dieselbe Domain",
        "untied": "nein: das könnte jeder schreiben",
    },
    no_build="kein Build gezeigt",
    build_range="zwischen {low} und {high}",
    not_opened="Es würde kein Fall eröffnet: {why}.",
    why_not={
        "no-floor": "die Policy hat für dieses Produkt keine Untergrenze",
        "not-below": "er liegt nicht unter der Untergrenze",
        "not-sure": "sein Build ist nicht genau genug bekannt",
        "untied": "seine Zeilen sind an niemanden gebunden",
        "not-seen-lately": "er wurde länger nicht gesehen, als die Policy einen Fall behält",
        "too-few-hours": "er wurde in {hours} gesehen, und die Policy verlangt mehr",
    },
    contradictions={
        "two-readings-at-once": "Zeigt zur selben Zeit zwei Builds, die einander ausschließen: zwei Server hinter einem Namen, oder erfunden.",
        "build-went-back": "Eine spätere Mail zeigt einen älteren Build: ein zweiter Server, eine Wiederherstellung, oder erfunden.",
        "same-name-elsewhere": "An diesen Namen ist eine andere Gegenstelle gebunden: diese Zeilen sind wohl erfunden oder kamen über ein Relay.",
    },
    hides="Reicht Mail anderer Server weiter: {hidden}.",
    more="{count} weitere Server sind nicht gezeigt; JSON und CSV enthalten sie.",
    gateways_title="Gateways, die andere verdecken",
    gateways_lead="Nur Hinweise: was tiefer im Kopf steht, kam als Inhalt der Mail. Danach wird niemand beurteilt.",
    cannot_title="Was ein Mailkopf nicht zeigen kann",
    cannot=(
        "Ein Kopf zeigt, was ein Server von sich sagt, und jeder kann einen schreiben. Nur wo der Name an die Gegenstelle gebunden ist, gilt er als wahr.",
        "Ein Gateway oder Anbieter davor verdeckt den Server dahinter.",
        "Zeilen von Exchange hinken dem installierten Build manchmal nach. Dann steht ein Bereich da, und es zählt nur, was für ihn ganz gilt.",
        "Exim und Sendmail werden gezeigt und nie beurteilt: Distributionen bessern sie aus, ohne die Nummer zu ändern.",
    ),
    troubles_title="Nicht gelesen: {count}",
    none_title="Kein Server wurde gesehen, der beurteilt wird.",
    mails=("{count} Mail", "{count} Mails"),
    hours=("nur {count} Stunde", "{count} verschiedenen Stunden"),
    day="Tag",
    week="Woche",
    quarter="Quartal von 13 Wochen",
    servers=("{count} Server", "{count} Server"),
)

LANGUAGES = (ENGLISH, GERMAN)
