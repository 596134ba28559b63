"""How the page of duplicates looks, in light and in dark, on a desk and on a phone."""

DUPLICATES = """
:root {
  color-scheme: light dark;
  --page: light-dark(#f6f6f4, #161618); --card: light-dark(#fff, #212125);
  --text: light-dark(#1d1d1f, #eeeef0); --faint: light-dark(#63636a, #a3a3ac);
  --line: light-dark(#e3e3df, #36363c); --well: light-dark(#efefec, #1a1a1d);
  --exact: light-dark(#15803d, #4ade80); --copy: light-dark(#1d4ed8, #7cb0ff);
  --near: light-dark(#b45309, #fbbf24);
  font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 2rem clamp(1rem, 3vw, 2.5rem) 4rem; }
h1 { font-size: clamp(1.5rem, 5vw, 2.2rem); line-height: 1.2; margin: .2rem 0 .5rem;
  letter-spacing: -.015em; text-wrap: balance; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.faint, .over { color: var(--faint); font-size: .9rem; }
.over { font-weight: 600; }
nav { display: flex; flex-wrap: wrap; gap: .5rem; position: sticky; top: 0; z-index: 1;
  margin: 1rem -.5rem; padding: .6rem .5rem; background: var(--page); }
nav label { cursor: pointer; }
nav input { position: absolute; opacity: 0; }
nav span { display: block; padding: .3rem .9rem; border: 1px solid var(--line);
  border-radius: 99px; background: var(--card); font-size: .9rem; }
nav input:checked + span { background: var(--text); color: var(--page); border-color: var(--text); }
nav input:focus-visible + span { outline: 2px solid var(--copy); outline-offset: 2px; }
body:has(#show-exact:checked) section:not(.exact),
body:has(#show-copy:checked) section:not(.copy),
body:has(#show-near:checked) section:not(.near) { display: none; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 1rem clamp(.8rem, 2vw, 1.3rem) 1.3rem; margin-top: 1.2rem; }
h2 { display: flex; flex-wrap: wrap; align-items: baseline; gap: .3rem .7rem; margin: 0 0 .9rem;
  font-size: .95rem; font-weight: 500; color: var(--faint); }
h2 .size { margin-left: auto; font-variant-numeric: tabular-nums; }
.badge { display: inline-block; padding: .05rem .55rem; border-radius: 99px; font-size: .75rem;
  font-weight: 600; color: var(--kind);
  background: color-mix(in srgb, var(--kind) 14%, transparent); }
.badge.exact { --kind: var(--exact); } .badge.copy { --kind: var(--copy); }
.badge.near { --kind: var(--near); }
.sides { display: grid; grid-template-columns: minmax(0, 280px) minmax(0, 1fr); gap: 1.3rem; }
.sides > div:last-child { display: grid; gap: 1rem; align-content: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 190px), 1fr)); }
.keep .word { margin: 0 0 .4rem; color: var(--exact); font-size: .72rem; font-weight: 700;
  letter-spacing: .09em; text-transform: uppercase; }
.keep figure { border: 2px solid var(--exact); }
.sides > div:last-child { padding-top: 1.62rem; }
.why { color: var(--faint); font-size: .85rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
img, .none { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain;
  background: var(--well); }
.none { display: grid; place-content: center; padding: 1rem; text-align: center;
  color: var(--faint); font-size: .8rem; }
figcaption { display: grid; justify-items: start; gap: .15rem; padding: .55rem .7rem .65rem;
  font-size: .8rem; overflow-wrap: anywhere; }
figcaption b { font-weight: 600; }
figcaption .faint { font-size: .78rem; }
details { font-size: .8rem; margin-top: .35rem; color: var(--faint); }
summary { cursor: pointer; padding: .2rem .1rem; }
code { display: block; margin-top: .3rem; padding: .5rem .6rem; border-radius: 8px;
  background: var(--well); color: var(--text); font-size: .75rem; overflow-wrap: anywhere;
  user-select: all; }
@media (max-width: 640px) {
  .sides { grid-template-columns: 1fr; }
  .sides > div:last-child { padding-top: 0; grid-template-columns: repeat(2, minmax(0, 1fr)); }
  h2 .size { margin-left: 0; width: 100%; }
}
"""
