// The "what if" panel: shows one of many sets of choices, all of which were estimated when the page was made.
(() => {
  const COLOURS = { set: '#9cc7e6', point: '#0072b2', chosen: '#d55e00', fixed: '#333', line: '#6b6b6b' };
  const number = value => {
    const size = Math.abs(value);
    return value.toLocaleString('en', size >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 })
      .replace('-', '\u2212');
  };

  function add(parent, name, attributes, text) {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return parent.appendChild(made);
  }

  function start(panel) {
    const data = JSON.parse(panel.querySelector('script[type="application/json"]').textContent);
    const form = panel.querySelector('form');
    const controls = [...form.querySelectorAll('select, input')];
    const says = panel.querySelector('.says'), figure = panel.querySelector('.drawing');
    const command = panel.querySelector('.command');
    const sets = data.sets.map((set, at) => typeof set === 'string' ? { at, problem: set }
      : { at, axis: set[0], value: set[1], low: set[2], high: set[3], sentence: set[4] });
    const usual = sets[data.default];
    let shown = usual;  // the last set with an answer: its curve stays when a combination has none

    // The last parameter changes fastest.
    const places = at => data.values.map(v => v.length)
      .reduceRight((found, n) => { found.unshift(at % n); at = Math.floor(at / n); return found; }, []);
    const place = control => control.type === 'range' ? +control.value : control.selectedIndex;
    const chosen = () => sets[controls.reduce((at, c, i) => at * data.values[i].length + place(c), 0)];

    function put(at) {
      places(at).forEach((p, i) => {
        if (controls[i].type === 'range') controls[i].value = p; else controls[i].selectedIndex = p;
      });
      update();
    }

    const withInterval = set => number(set.value)
      + (set.low === null || set.high === null ? '' : ` (${data.level} interval ${number(set.low)} to ${number(set.high)})`);

    function inWords(set) {
      if (set.problem) return `These choices have no answer. ${set.problem}`;
      if (set.value === null) return set.sentence;
      const others = sets.filter(s => s !== set && s.axis === set.axis && s.value !== null);
      const lower = others.filter(s => s.value < set.value).length;
      const text = `${set.sentence} ${lower} of the ${others.length} other sets of choices give a lower number.`;
      if (set === usual) return `${text} These are the defaults.`;
      return text + (usual.axis === set.axis ? ` The defaults give ${withInterval(usual)}.`
        : ` The defaults measure something else (${data.axes[usual.axis]}) and are not in this figure.`);
    }

    function draw(set) {
      if (!set.problem) shown = set;
      const curve = sets.filter(s => s.axis === shown.axis && s.value !== null).sort((a, b) => a.value - b.value);
      const width = Math.max(280, Math.min(720, figure.clientWidth || 640)), height = 290;
      const [left, right, top, bottom] = [58, width - 12, 46, height - 30];
      const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
      for (const [key, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height, role: 'img',
        'font-family': 'sans-serif', 'font-size': 12, fill: COLOURS.fixed })) svg.setAttribute(key, value);
      svg.setAttribute('aria-label', `${data.axes[shown.axis]}: ${curve.length} sets of choices from the lowest to the `
        + `highest. ` + (set.problem || set.value === null ? 'None is marked.' : `The chosen set: ${withInterval(set)}.`));
      const ends = curve.flatMap(s => [s.value, s.low ?? s.value, s.high ?? s.value]).concat(0);
      const low = Math.min(...ends), high = Math.max(...ends), room = (high - low || 1) * .04;
      const y = v => bottom - (v - low + room) / (high - low + 2 * room) * (bottom - top);
      const x = s => left + 8 + (curve.indexOf(s) + .5) / curve.length * (right - left - 12);
      const [what, unit] = data.axes[shown.axis].split(/, (?=[^,]*$)/);
      add(svg, 'text', { x: 6, y: 15 }, what);
      add(svg, 'text', { x: 6, y: 30 }, unit || '');
      const rough = (high - low || 1) / 5, power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].find(m => m * power >= rough) * power;
      for (let v = Math.ceil(low / step); v * step <= high; v++) {
        add(svg, 'text', { x: left - 8, y: y(v * step) + 4, 'text-anchor': 'end' }, number(v * step));
        add(svg, 'line', { x1: left - 4, x2: left, y1: y(v * step), y2: y(v * step), stroke: COLOURS.line });
      }
      add(svg, 'line', { x1: left, x2: left, y1: top, y2: bottom, stroke: COLOURS.line });
      add(svg, 'line', { x1: left, x2: right, y1: y(0), y2: y(0), stroke: COLOURS.line, 'data-zero': '' });
      add(svg, 'text', { x: left, y: height - 8 }, `${curve.length} sets of choices, lowest estimate first`);
      const mark = (s, colour, stroke, radius) => {
        if (s.low !== null && s.high !== null)
          add(svg, 'line', { x1: x(s), x2: x(s), y1: y(s.low), y2: y(s.high), stroke: colour.line || colour, 'stroke-width': stroke });
        add(svg, 'circle', { cx: x(s), cy: y(s.value), r: radius, fill: colour.point || colour });
      };
      for (const s of curve) mark(s, { line: COLOURS.set, point: COLOURS.point }, curve.length > 80 ? 1 : 1.6, 1.8);
      const name = (s, words, colour, line) => add(svg, 'text', { x: Math.min(Math.max(x(s), left + 24), right - 24),
        y: top + line, 'text-anchor': 'middle', fill: colour, 'font-weight': 'bold', stroke: '#fff', 'stroke-width': 3,
        'paint-order': 'stroke' }, words);
      const answers = s => s.value !== null && !s.problem;
      if (usual !== set && usual.axis === shown.axis && answers(usual)) {
        mark(usual, COLOURS.fixed, 2, 4);
        name(usual, 'default', COLOURS.fixed, bottom - top - 4);
      }
      if (answers(set)) {
        mark(set, COLOURS.chosen, 3, 6);
        name(set, set === usual ? 'default' : 'chosen', '#b34d00', 0);
      }
      figure.replaceChildren(svg);
    }

    function update() {
      const set = chosen();
      controls.forEach((control, i) => {
        if (control.type !== 'range') return;
        const value = data.values[i][place(control)];
        control.setAttribute('aria-valuetext', value);
        control.nextElementSibling.value = value + (place(control) === places(data.default)[i] ? ' (default)' : '');
      });
      says.textContent = inWords(set);
      const now = places(set.at), then = places(data.default);
      const changed = data.names.map((name, i) => now[i] === then[i] ? '' : ` -p ${name}=${data.values[i][now[i]]}`);
      command.querySelector('code').textContent = `apmkit run ${data.study}${changed.join('')}`;
      command.hidden = Boolean(set.problem);
      draw(set);
    }

    form.hidden = false;
    panel.querySelector('.plain').hidden = true;
    form.addEventListener('submit', event => event.preventDefault());
    form.addEventListener('input', update);
    form.querySelector('button').addEventListener('click', () => put(data.default));
    let width = 0, before = null;
    new ResizeObserver(() => {
      if (figure.clientWidth !== width) { width = figure.clientWidth; draw(chosen()); }
    }).observe(figure);
    // Paper shows what the page shows at first.
    addEventListener('beforeprint', () => { before = chosen().at; put(data.start); });
    addEventListener('afterprint', () => { if (before !== null) put(before); before = null; });
    put(data.start);
  }

  for (const panel of document.querySelectorAll('.what-if:not([data-ready])')) {
    panel.dataset.ready = '';
    start(panel);
  }
})();
