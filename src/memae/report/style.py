"""The style of reports, in addition to that of all pages."""

STYLE = """
h2 { border-top: 1px solid var(--line); padding-top: 1.6rem; } h2 + p { color: var(--soft); margin-top: 0; }
h3 { font-size: 1rem; margin: .2rem 0 .5rem; } li { max-width: 44rem; margin: .3rem 0; }
h1, h3, p, code { overflow-wrap: anywhere; } h1, h3, td, th, code { unicode-bidi: isolate; } a { color: var(--normal); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.tiles div { background: var(--card); border-radius: .6rem; padding: .8rem 1rem; }
.tiles b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .85rem; line-height: 1.35; display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; max-width: 46rem; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
.card { background: var(--card); border-radius: .6rem; padding: 1rem; margin: 1rem 0; }
.card table { margin: .4rem 0; } .card h3 { font-size: 1.1rem; } .card p { margin: .3rem 0; }
.badge, .calm { border: 1px solid var(--alarm); border-radius: .3rem; padding: 0 .4rem; font-size: .85rem; }
.badge { background: var(--alarm); color: var(--back); } .calm { border-color: var(--soft); }
.because { font-weight: 600; }
.bar { display: flex; align-items: center; gap: .5rem; min-width: 8rem; }
.bar i { height: .7rem; width: calc(var(--share) * 5rem); min-width: 2px; background: var(--alarm); }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--normal); }
.pair { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; margin-top: .6rem; }
.pair > div { flex: 0 1 auto; max-width: 100%; } .pair p { margin: 0 0 .4rem; max-width: 25rem; }
.pair figure, .items figure { margin: 0; padding: 0; background: none; }
.pair figcaption, .items figcaption { margin: .2rem 0 0; font-size: .8rem; line-height: 1.3; }
.pair img, .items img, .places img { width: 100%; border-radius: .3rem; }
.shots { display: flex; gap: .8rem; } .shots figure { flex: 1 1 0; max-width: 9.5rem; }
.film { flex-wrap: wrap; } .film figure { flex: 1 1 8.2rem; max-width: 13.4rem; }
.photo figure { flex: 1 1 0; max-width: 20rem; }
.places { display: flex; flex-wrap: wrap; gap: .8rem; } .places figure { width: 7rem; }
.places figcaption { overflow-wrap: anywhere; } .places img + img { margin-top: 2px; }
.pair > div:has(.places) { flex: 1 1 24rem; } .pair > div:has(.places) p { max-width: 44rem; }
.items { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.4rem, 5.4rem)); gap: .8rem; }
.pair .items { grid-template-columns: repeat(4, minmax(0, 5.4rem)); }
.items:has(.alone), .pair .items:has(.alone) { grid-template-columns: repeat(auto-fill, minmax(8.2rem, 13.4rem)); }
.pair > div:has(.alone) { flex: 1 1 100%; } .pair > div:has(.alone) p { max-width: 44rem; }
.near { display: grid; grid-template-columns: repeat(3, 1fr); gap: 2px; margin-top: 2px; }
.alarms img { width: 10rem; max-width: none; border-radius: .3rem; }
.alarms td:nth-child(3) { white-space: normal; overflow-wrap: anywhere; min-width: 5rem; }
.sticky th:first-child, .sticky td:first-child { position: sticky; left: 0; background: var(--back); }
.sticky td { vertical-align: top; } .sticky td + td { padding-left: .4rem; }
.facts td { white-space: normal; text-align: left; vertical-align: top; } .facts thead { display: none; }
.facts code { font-size: .85rem; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } ul { padding-left: 1.2rem; }
  main table { font-size: .85rem; } th { white-space: normal; vertical-align: bottom; } td, th { padding-right: .5rem; }
  td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
  .alarms td:first-child { min-width: 0; }
  .bar { min-width: 5rem; } .bar i { width: calc(var(--share) * 2rem); } .alarms img { width: 7.5rem; }
}
@media print { .card, figure { break-inside: avoid; } }
"""
