// Keeps the first screen fresh. Without it the page is whole; it only has to be loaded anew.
"use strict";
(() => {
  const EVERY = 5000;
  const now = document.getElementById("now");
  const state = document.getElementById("live-state");
  if (!now || !state) return;
  let paused = false;
  const said = document.getElementById("said");
  const button = document.createElement("button");
  button.className = "quiet";
  button.type = "button";

  const show = () => {
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) state.textContent = "Paused.";
  };
  button.addEventListener("click", () => {
    paused = !paused;
    show();
    if (!paused) refresh();
  });
  state.after(" ", button);
  show();

  // Who is at something in there, or has it open, is not disturbed.
  const busy = () => paused || document.hidden || now.contains(document.activeElement) || now.querySelector("details[open]");

  async function refresh() {
    if (busy()) return;
    try {
      const answer = await fetch(now.dataset.live, { signal: AbortSignal.timeout(EVERY) });
      if (answer.redirected) return location.reload(); // the session has ended
      if (!answer.ok) throw new Error(answer.statusText);
      const text = await answer.text();
      if (busy()) return;
      const before = now.querySelector("h1").textContent.trim();
      now.innerHTML = text; // from this server, which escapes all that is not its own
      const after = now.querySelector("h1").textContent.trim();
      if (after !== before) said.textContent = after;
      state.textContent = `As of ${new Date().toISOString().slice(11, 19)} UTC.`;
      state.classList.remove("fault");
    } catch {
      state.textContent = "No answer: what you see is old.";
      state.classList.add("fault");
    }
  }
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
})();
