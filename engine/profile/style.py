"""How a report's page looks: its style sheet, and a colour for each kind of step, in the light and in the dark."""

from __future__ import annotations

COLOURS = {
    "convolution": ("#2f6fde", "#6ea2ff"),
    "product": ("#7a4fd0", "#b394ff"),
    "attention": ("#c2418d", "#f284c0"),
    "recurrent": ("#0f8a8a", "#4fd0cf"),
    "pool": ("#4c8c2b", "#8fce6a"),
    "norm": ("#b77900", "#f0b94b"),
    "move": ("#7b8794", "#98a4b3"),
    "elementwise": ("#d0532b", "#ff9770"),
}


def _colours(dark: bool) -> str:
    return "; ".join(f"--{kind}: {pair[dark]}" for kind, pair in COLOURS.items())


STYLE = f"""
:root {{ color-scheme: light dark; --paper: #fff; --ink: #1b2330; --dim: #66707d; --line: #dfe3e8;
  --stripe: #f5f7f9; --edge: #aab3be; {_colours(False)} }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #14181e; --ink: #e6e9ee; --dim: #98a2af; --line: #2b323b;
  --stripe: #1a1f27; --edge: #566170; {_colours(True)} }} }}
body {{ margin: 0 auto; padding: 24px 32px 48px; max-width: 1400px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }}
h1 {{ font-size: 24px; margin: 0 }}
h2 {{ font-size: 17px; margin: 36px 0 10px }}
p {{ margin: 4px 0 12px; color: var(--dim); max-width: 960px }}
.facts {{ display: flex; flex-wrap: wrap; gap: 10px; margin: 18px 0 0 }}
.facts div {{ border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; min-width: 108px }}
.facts b {{ display: block; font-size: 19px; font-weight: 600 }}
.facts span {{ color: var(--dim); font-size: 13px }}
.stack {{ display: flex; height: 26px; border-radius: 6px; overflow: hidden; gap: 1px }}
.stack i {{ background: var(--kind); min-width: 2px }}
.legend {{ display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0; margin: 10px 0 0; list-style: none }}
.legend i {{ display: inline-block; width: 11px; height: 11px; border-radius: 3px; background: var(--kind);
  margin-right: 7px }}
.wide {{ overflow-x: auto }}
svg {{ display: block; font: 12.5px system-ui, sans-serif; fill: var(--ink) }}
svg g circle, svg g rect, svg .dot {{ fill: var(--kind) }}
svg g rect.taken {{ opacity: .32 }}
svg g rect.hit {{ fill: transparent }}
svg g:hover rect.hit {{ fill: var(--kind); opacity: .14 }}
svg .dot {{ fill-opacity: .62; stroke: var(--kind) }}
svg .stripe {{ fill: var(--stripe) }}
svg .edge {{ fill: none; stroke: var(--edge); stroke-width: 1.4 }}
svg .grid {{ stroke: var(--line); fill: none }}
svg .roof {{ stroke: var(--ink); stroke-width: 2; fill: none }}
svg .input {{ fill: var(--dim) }}
svg .operation {{ font-weight: 600 }}
svg .head, svg .dim, svg .layer, svg .algorithm {{ fill: var(--dim) }}
svg .shapes, svg .number {{ font-variant-numeric: tabular-nums }}
svg .end {{ text-anchor: end }}
svg .mid {{ text-anchor: middle }}
""" + "\n".join(f".{kind} {{ --kind: var(--{kind}) }}" for kind in COLOURS)
