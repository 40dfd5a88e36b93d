"use strict";
(() => {
  const all = (open) => { for (const item of document.querySelectorAll("details.verdict")) item.open = open; };
  const controls = document.querySelector(".controls");
  if (controls) {
    controls.hidden = false;
    controls.querySelector("[data-open]").addEventListener("click", () => all(true));
    controls.querySelector("[data-close]").addEventListener("click", () => all(false));
  }
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let item = target; item; item = item.parentElement) if (item.tagName === "DETAILS") item.open = true;
    const own = target.tagName === "TR" && target.querySelector("details");
    if (own) own.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
})();
