for (const t of document.querySelectorAll("time[datetime]")) {
  const d = new Date(t.dateTime);
  if (isNaN(d) || d.getTimezoneOffset() === 0) continue;
  const local = d.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  t.title = local + " (" + zone + ")";
  if (t.closest(".both")) t.append(" \u00b7 " + local);
}
