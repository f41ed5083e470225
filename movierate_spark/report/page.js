"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };
  const printedWidth = 660;
  const narrow = 520;
  const narrowLabel = 24;
  const palette = JSON.parse(document.getElementById("palette").textContent);
  const charts = [...document.querySelectorAll(".chart")];

  // Charts have the colours of the light page; the palette maps each to its colour in dark mode.
  const coloured = (value, inDark) => {
    if (Array.isArray(value)) return value.map((item) => coloured(item, inDark));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, inDark)]));
    }
    return inDark && typeof value === "string" && Object.hasOwn(palette, value) ? palette[value] : value;
  };
  // On a narrow page, long labels would leave no room for the marks. HTML entities are not cut.
  const head = (label) => label.slice(0, narrowLabel - 9).replace(/&[^;]*$/, "");
  const tail = (label) => label.slice(-8).replace(/^[^&]*;/, "");
  const shortened = (label) =>
    label.length > narrowLabel ? `${head(label)}\u2026${tail(label)}` : label;
  const fitted = (layout, width) => {
    const axis = layout.yaxis;
    if (width >= narrow || !axis || !axis.ticktext) return layout;
    return { ...layout, yaxis: { ...axis, ticktext: axis.ticktext.map(shortened) } };
  };
  const draw = (inDark, width) => Promise.all(charts.map((chart) => {
    const spec = JSON.parse(document.getElementById(chart.dataset.spec).textContent);
    const layout = fitted(coloured(spec.layout, inDark), width || chart.clientWidth);
    const size = width ? { width, autosize: false } : {};
    return Plotly.react(chart, coloured(spec.data, inDark), { ...layout, ...size }, config);
  }));

  draw(dark.matches).then(() => document.documentElement.setAttribute("data-drawn", charts.length));
  dark.addEventListener("change", () => draw(dark.matches));
  window.addEventListener("beforeprint", () => draw(false, printedWidth));
  window.addEventListener("afterprint", () => draw(dark.matches));
})();
