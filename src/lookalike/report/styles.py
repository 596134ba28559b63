"""How the page looks, in light and in dark, on a desk and on a phone."""

STYLES = """
:root {
  color-scheme: light dark;
  --page: light-dark(#f6f6f4, #161618); --card: light-dark(#fff, #212125);
  --text: light-dark(#1d1d1f, #eeeef0); --faint: light-dark(#63636a, #a3a3ac);
  --shade: light-dark(#0003, #000c);
  --line: light-dark(#e3e3df, #36363c); --mark: light-dark(#b83a0b, #fb923c);
  --good: light-dark(#15803d, #4ade80); --bad: light-dark(#b91c1c, #f87171);
  --s1: light-dark(#2563eb, #6ea8fe); --s2: light-dark(#c2410c, #fb923c);
  --s3: light-dark(#15803d, #4ade80); --s4: light-dark(#7e22ce, #cb95ff);
  --s5: light-dark(#0e7490, #22d3ee); --s6: light-dark(#be185d, #f77fbc);
  --s0: light-dark(#a9a9b0, #6c6c76);
  font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 2rem clamp(1rem, 3vw, 2.5rem) 4rem; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); margin: .3rem 0 .6rem; letter-spacing: -.015em; }
h2 { font-size: 1.3rem; margin: 3rem 0 .4rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.over, .faint, figcaption, caption { color: var(--faint); font-size: .86rem; }
.over { max-width: none; font-weight: 600; letter-spacing: .02em; }
.cards, .charts { display: grid; gap: 1rem; }
.cards { grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); margin: 1.4rem 0; }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.charts.one { max-width: 580px; }
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.card, .chart, .scroll, .query { background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; min-width: 0; }
.card { padding: 1rem 1.1rem; }
.card b { display: block; font-size: 1.2rem; overflow-wrap: anywhere; }
.card.taken { border: 2px solid var(--good); }
.chart { margin: 0; padding: 1rem; }
.chart > svg { display: block; width: 100%; max-width: 600px; margin: 0 auto; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; margin: .7rem 0 0;
  list-style: none; font-size: .86rem; }
.legend li { display: flex; align-items: center; gap: .4rem; overflow-wrap: anywhere; }
.swatch { width: 26px; height: 10px; flex: none; }
ul.legend { margin: .7rem 0; }
svg { font-size: 13px; }
svg text { fill: var(--text); }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .what, svg .value { fill: var(--faint); } svg .value { font-size: 10.5px; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .axis { stroke: var(--faint); }
svg .line { fill: none; stroke-width: 2.4; stroke-linejoin: round; }
svg .front { fill: none; stroke: var(--faint); stroke-width: 1.6; stroke-dasharray: 2 4; }
svg .mark { stroke: var(--mark); stroke-width: 1.6; stroke-dasharray: 5 4; }
svg .marked { fill: var(--mark); }
svg .name { font-size: 12px; fill: var(--faint); paint-order: stroke; stroke: var(--card);
  stroke-width: 3px; }
svg .name.on { fill: var(--text); font-weight: 600; }
.s1 { --series: var(--s1); } .s2 { --series: var(--s2); } .s3 { --series: var(--s3); }
.s4 { --series: var(--s4); } .s5 { --series: var(--s5); } .s6 { --series: var(--s6); }
.s0 { --series: var(--s0); }
.line { stroke: var(--series); } .dot, .bar { fill: var(--series); }
.line.s2 { stroke-dasharray: 9 3; } .line.s3 { stroke-dasharray: 3 3; }
.line.s4 { stroke-dasharray: 9 3 3 3; } .line.s5 { stroke-dasharray: 14 4; }
.line.s6 { stroke-dasharray: 6 2 2 2 2 2; } svg .line.s0 { stroke-width: 1.3; }
.dot { stroke: var(--card); stroke-width: 1.5; }
.scroll { overflow-x: auto; margin: .8rem 0; background:
  linear-gradient(to left, var(--card) 50%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--shade), transparent) right / 1.2rem 100% no-repeat, var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .8rem 0 .4rem; caption-side: top; }
caption span { display: inline-block; position: sticky; left: 0; padding: 0 1rem;
  max-width: calc(100vw - 2.2rem); }
th, td { padding: .5rem .7rem; text-align: right; white-space: nowrap;
  border-top: 1px solid var(--line); }
thead th { color: var(--faint); font-weight: 600; border-top: 0; vertical-align: bottom; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); }
tbody th { font-weight: 600; min-width: 13rem; max-width: 20rem; overflow-wrap: break-word;
  white-space: normal; }
th.text, td.text { text-align: left; }
th .swatch { display: inline-block; margin-right: .5rem; vertical-align: middle; }
td.text { white-space: normal; min-width: 14rem; overflow-wrap: anywhere; }
tr.taken th, tr.taken td { background: color-mix(in srgb, var(--good) 13%, var(--card)); }
.good { color: var(--good); } .bad { color: var(--bad); }
.query { padding: 1rem; margin: .8rem 0; }
.row { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: .7rem; }
.row figure { margin: 0; }
.row figure > img, .none { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  border-radius: 8px; border: 3px solid var(--line); background: var(--page); }
.none { display: grid; place-content: center; text-align: center; font-size: .75rem;
  color: var(--faint); padding: .4rem; overflow: hidden; }
.row figure.right > :first-child { border-color: var(--good); }
.row figure.wrong > :first-child { border-color: var(--bad); }
.row figcaption { border: 0; font-size: .76rem; line-height: 1.35; padding-top: .3rem;
  overflow-wrap: anywhere; }
.row figcaption strong { font-weight: 650; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1.2rem;
  font-size: .9rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
code { font-size: .92em; overflow-wrap: anywhere; }
@media (max-width: 620px) {
  .row { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  h2 { margin-top: 2.2rem; } th, td { padding: .45rem .6rem; }
  tbody th { min-width: 6.6rem; max-width: 9rem; } td.text { min-width: 8rem; }
  th .swatch { display: block; }
}
"""
