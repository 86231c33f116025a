"use strict";

// Shows api/status, every few seconds while somebody looks. Everything goes in as text, never as markup.
(() => {
  const every = 5000;
  const source = new URL("api/status", location.origin + location.pathname); // fetch takes no URL with a key in it
  const $ = (id) => document.getElementById(id);
  const words = { green: "✓ OK", amber: "! Attention", red: "✕ Alarm" };
  const sentences = {
    green: "✓ All is well.",
    amber: "! Something needs attention.",
    red: "✕ Something is wrong and needs you now.",
  };
  const count = new Intl.NumberFormat("en");

  function size(n) {
    const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let i = 0;
    for (; n >= 999.5 && i < units.length - 1; i++) n /= 1000;
    return (i === 0 || n >= 10 ? Math.round(n) : n.toFixed(1)) + " " + units[i];
  }

  function span(seconds) {
    const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24, m = Math.floor(seconds / 60) % 60;
    if (d > 0) return `${d} d ${h} h`;
    return h > 0 ? `${h} h ${m} min` : `${m} min`;
  }

  function ms(v) {
    if (v >= 1000) return (v / 1000).toFixed(1) + " s";
    return (v >= 10 ? Math.round(v) : v.toFixed(1)) + " ms";
  }

  function time(t) {
    return t ? t.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC") : "none yet";
  }

  function element(tag, text, className) {
    const e = document.createElement(tag);
    e.textContent = text;
    if (className) e.className = className;
    return e;
  }

  // setText leaves what is unchanged alone, so that screen readers don't read it again.
  function setText(e, text) {
    if (e.textContent !== text) e.textContent = text;
  }

  function card(id, verdict) {
    const e = $(id);
    e.className = "card " + verdict.level;
    setText(e.querySelector(".level"), words[verdict.level]);
    setText(e.querySelector(".text"), verdict.text);
    setText(e.querySelector(".more"), verdict.more);
  }

  function gauge(disk) {
    const percent = (n) => (disk.size_bytes > 0 ? (100 * n) / disk.size_bytes : 0);
    const used = percent(disk.size_bytes - disk.free_bytes);
    $("used").style.width = used + "%";
    $("reserve").style.width = Math.min(percent(disk.reserve_bytes), 100 - used) + "%";
    $("gauge").setAttribute("aria-label", `${Math.round(used)}% of the disk is used`);
  }

  function row(name, kind, c) {
    const tr = document.createElement("tr");
    const th = element("th", name);
    th.scope = "row";
    tr.append(th, element("td", kind), element("td", count.format(c.objects), "n"), element("td", size(c.bytes), "n"));
    for (const n of [c.duplicates, c.unindexed, c.conflicts]) tr.append(element("td", count.format(n), "n"));
    return tr;
  }

  function tables(s) {
    $("buckets").replaceChildren(...s.buckets.map((b) => row(b.name, b.dicom ? (b.strict ? "DICOM, strict" : "DICOM") : "any", b)));
    $("totals").replaceChildren(row("All", "", s.totals));
    $("damage-section").hidden = s.damage.length === 0;
    $("damage").replaceChildren(...s.damage.map((d) => {
      const tr = document.createElement("tr");
      for (const v of [d.segment, d.from_lsn, d.to_lsn, d.detail]) tr.append(element("td", v));
      return tr;
    }));
  }

  function facts(s) {
    const list = [
      ["End of the log (LSN)", s.log.end_lsn],
      ["Log", `${size(s.log.bytes)} in ${count.format(s.log.segments)} segment${s.log.segments === 1 ? "" : "s"}`],
      ["Newest record", time(s.log.last_write)],
      ["Last commit", s.commits.count ? ms(s.commits.last_ms) : "none since the start"],
      ["Commits: median, 99th percentile", s.commits.count ? `${ms(s.commits.p50_ms)}, ${ms(s.commits.p99_ms)}` : "none since the start"],
      ["To replay after a crash now", size(s.log.catalog_behind_bytes)],
      ["Damage met since the start", count.format(s.log.damage_found)],
      ["Epoch", count.format(s.log.epoch)],
      ["Log id", s.log.id],
    ];
    $("facts").replaceChildren(...list.map(([k, v]) => {
      const div = document.createElement("div");
      div.append(element("dt", k), element("dd", v));
      return div;
    }));
  }

  function show(s) {
    document.body.classList.remove("stale");
    const overall = $("overall");
    overall.className = s.overall;
    setText(overall, sentences[s.overall]);
    for (const id of ["safe", "fast", "full", "tidy"]) card(id, s[id]);
    gauge(s.disk);
    tables(s);
    facts(s);
    setText($("about"), `Version ${s.version} · up ${span(s.uptime_seconds)}`);
    setText($("updated"), `As of ${time(s.time)}.`);
    document.title = s.overall === "green" ? "gantry" : `${words[s.overall]} – gantry`;
    $("cards").hidden = $("details").hidden = false;
  }

  function fail(why) {
    document.body.classList.add("stale");
    const overall = $("overall");
    overall.className = "red";
    setText(overall, `✕ ${why}` + ($("cards").hidden ? "" : " What is below is out of date."));
    document.title = "✕ No answer – gantry";
  }

  async function refresh() {
    try {
      const r = await fetch(source, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (r.ok) show(await r.json());
      else if (r.headers.get("Gantry-State") === "starting") fail("The server is starting.");
      else fail(r.status === 401 ? "The key was not accepted." : `The server answered ${r.status}.`);
    } catch {
      fail("The server does not answer.");
    }
  }

  let timer = 0;
  async function loop() {
    clearTimeout(timer);
    if (document.hidden) return;
    await refresh();
    timer = setTimeout(loop, every);
  }
  document.addEventListener("visibilitychange", loop);
  loop();
})();
