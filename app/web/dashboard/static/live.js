// Keeps what is marked with data-live fresh. Without it the page is whole; it only has to be loaded anew.
"use strict";
(() => {
  const EVERY = 5000;
  const parts = [...document.querySelectorAll("[data-live]")];
  const state = document.getElementById("live-state");
  if (!parts.length || !state) return;
  const address = parts[0].dataset.live || location.href;
  const films = document.getElementById("films");
  const said = document.getElementById("said");
  const line = state.parentElement;
  let at = parts[0].dataset.at;
  let paused = false;
  const button = document.createElement("button");
  button.className = "quiet";
  button.type = "button";

  const show = () => {
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) state.textContent = `Paused: as of ${at} UTC.`;
  };
  button.addEventListener("click", () => {
    paused = !paused;
    show();
    if (!paused) refresh();
  });
  state.after(" ", button);
  show();

  // Who is at something in there, or has it open, is not disturbed.
  const isRead = (part) => part.contains(document.activeElement) || part.querySelector("details[open]");
  const isHeld = () => paused || document.hidden || parts.some(isRead);
  const news = (root) => root.querySelector("#headline, .title .badge").textContent.trim();

  // What is old must not look as if it were so now: the first thing to be seen is that it is old.
  const markOld = (isOld) => {
    line.classList.toggle("old", isOld);
    parts.forEach((part) => part.classList.toggle("old", isOld));
    document.title = `${isOld ? "No answer" : parts[0].dataset.title} – Reelkeep`;
  };

  const put = (fresh) => {
    const before = news(document);
    for (const part of parts) {
      const other = fresh.getElementById(part.id);
      part.innerHTML = other.innerHTML; // from this server, which escapes all that is not its own
      Object.assign(part.dataset, other.dataset);
    }
    const others = fresh.getElementById("films");
    const plays = films && [...films.querySelectorAll("video")].some((video) => !video.paused);
    if (films && !plays && films.dataset.films !== others.dataset.films) {
      films.innerHTML = others.innerHTML;
      films.dataset.films = others.dataset.films;
    }
    if (news(document) !== before) said.textContent = news(document);
  };

  async function refresh() {
    if (isHeld()) {
      if (!paused && !line.classList.contains("old")) state.textContent = `As of ${at} UTC; held while you read.`;
      return;
    }
    let why = "No answer";
    try {
      const answer = await fetch(address, { signal: AbortSignal.timeout(EVERY) });
      if (answer.redirected) return location.reload(); // the session has ended
      if (answer.status === 503) why = "Redis does not answer";
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (isHeld()) return;
      put(fresh);
      at = parts[0].dataset.at;
      state.textContent = `As of ${at} UTC.`;
      markOld(false);
    } catch {
      if (paused) return;
      state.textContent = `${why}: what you see is old, as of ${at} UTC.`;
      if (!line.classList.contains("old")) said.textContent = state.textContent;
      markOld(true);
    }
  }
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
})();
