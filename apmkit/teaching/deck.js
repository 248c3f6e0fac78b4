(() => {
  const root = document.documentElement;
  const slides = [...document.querySelectorAll(".slide")];
  const at = id => document.getElementById(id);
  const wide = window.matchMedia("(min-width: 800px)");
  let now = 0;

  const fit = slide => {
    let size = 1;
    const tooMuch = () => {
      const shown = slide.querySelector(".shown");
      return slide.scrollHeight > slide.clientHeight + 1 || shown.scrollHeight > shown.clientHeight + 1
        || [...shown.children].some(part => part.querySelector("table") && part.scrollWidth > part.clientWidth + 1);
    };
    slide.style.setProperty("--fit", size);
    while (size > 0.5 && tooMuch()) slide.style.setProperty("--fit", (size -= 0.05));
  };

  const show = (place, focus = true) => {
    now = Math.max(0, Math.min(slides.length - 1, place));
    slides.forEach((slide, i) => slide.classList.toggle("now", i === now));
    at("place").textContent = `${now + 1} / ${slides.length}`;
    at("before").disabled = now === 0;
    at("next").disabled = now === slides.length - 1;
    if (!root.classList.contains("deck")) return;
    fit(slides[now]);
    history.replaceState(null, "", `#slide-${now + 1}`);
    if (focus) slides[now].focus({preventScroll: true});
  };

  const arrange = () => {
    root.classList.toggle("deck", wide.matches);
    show(now, false);
  };

  const steps = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1};
  document.addEventListener("keydown", event => {
    if (!root.classList.contains("deck") || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = event.target.closest("button");
    if (button && (event.key === " " || event.key === "Enter")) return;
    if (event.key in steps) show(now + (event.key === " " && event.shiftKey ? -1 : steps[event.key]));
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(slides.length - 1);
    else if (event.key === "n") at("notes").click();
    else if (event.key === "f" && root.requestFullscreen) root.requestFullscreen();
    else return;
    event.preventDefault();
  });
  at("before").addEventListener("click", () => show(now - 1, false));
  at("next").addEventListener("click", () => show(now + 1, false));
  at("notes").addEventListener("click", () => {
    at("notes").setAttribute("aria-pressed", root.classList.toggle("with-notes"));
    show(now, false);
  });
  window.addEventListener("hashchange", () => show(placeInAddress()));
  window.addEventListener("resize", arrange);
  // The print style gives every slide its size; text is fitted to it, and back to the window afterwards.
  window.addEventListener("beforeprint", () => slides.forEach(fit));
  window.addEventListener("afterprint", () => show(now, false));

  const placeInAddress = () => Number((location.hash.match(/^#slide-(\d+)$/) || [0, 1])[1]) - 1;
  now = placeInAddress();
  arrange();
  window.MathJax?.startup?.promise?.then(() => show(now, false));
})();
