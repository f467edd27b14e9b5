// Draws the figures that the page holds as JSON, follows the colour scheme, sorts tables.
(() => {
  'use strict';
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const themes = read('themes');
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const plots = [...document.querySelectorAll('.plot')];
  const config = {
    responsive: true,
    displaylogo: false,
    // Named one by one: among plotly's own choice is one that sends the data to its makers.
    modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']],
    plotlyServerURL: '',
  };
  // A finger that moves over a plot wants to scroll the page.
  const dragmode = matchMedia('(pointer: coarse)').matches ? false : 'zoom';

  const draw = (plot, scheme) => {
    const figure = read(plot.dataset.figure);
    const layout = { ...figure.layout, dragmode, template: themes[scheme] };
    return Plotly.react(plot, figure.data, layout, config);
  };
  const scheme = () => (dark.matches ? 'dark' : 'light');
  const drawAll = () => plots.forEach((plot) => draw(plot, scheme()));

  // One after the other, so that the page can be read and scrolled meanwhile.
  const later = (index) => {
    if (index >= plots.length) return;
    draw(plots[index], scheme());
    setTimeout(later, 0, index + 1);
  };
  later(0);
  dark.addEventListener('change', drawAll);

  // Paper is white and narrower than a screen, whatever the colour scheme.
  window.addEventListener('beforeprint', () => {
    document.body.style.maxWidth = '680px';
    plots.forEach((plot) => {
      draw(plot, 'light');
      Plotly.relayout(plot, { width: plot.clientWidth, height: plot.clientHeight });
    });
  });
  window.addEventListener('afterprint', () => {
    document.body.style.maxWidth = '';
    drawAll();
  });

  const compare = (column, direction) => (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column]);
    const [x, y] = [a, b].map((cell) => cell.dataset.order);
    if (x !== undefined && y !== undefined) return direction * (x - y);
    // Cells without a number stand last, either way.
    if (x !== undefined) return -1;
    if (y !== undefined) return 1;
    return direction * a.textContent.localeCompare(b.textContent);
  };
  const sort = (button) => {
    const heading = button.closest('th');
    const table = heading.closest('table');
    const ascending = heading.getAttribute('aria-sort') !== 'ascending';
    table.querySelectorAll('th').forEach((other) => other.removeAttribute('aria-sort'));
    heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    const body = table.tBodies[0];
    const order = compare(heading.cellIndex, ascending ? 1 : -1);
    body.append(...[...body.rows].sort(order));
  };
  document.querySelectorAll('.sortable button').forEach((button) => {
    button.addEventListener('click', () => sort(button));
  });
})();
