// What scrolls sideways can be reached with the Tab key and scrolled with the arrows.
(() => {
  const boxes = 'article :is(.cell_output, .text_html, figure, mjx-container[display="true"])';
  function update() {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX === 'auto') box.tabIndex = 0;
      else box.removeAttribute('tabindex');
    }
  }
  addEventListener('load', () => { update(); window.MathJax?.startup?.promise?.then(update); });
  addEventListener('resize', update);
})();
