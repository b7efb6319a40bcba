"""How the page of a bench looks: as a profile's, in the light and in the dark, in colours that most eyes tell apart."""

from __future__ import annotations

LIGHT = ("#2f6fde", "#b04a1e", "#0f7a6c", "#7a4fd0", "#9a6700", "#b0307a")
DARK = ("#6ea2ff", "#ff9770", "#4fd0bd", "#b394ff", "#f0b94b", "#f284c0")


def _colours(colours: tuple[str, ...]) -> str:
    return "; ".join(f"--c{number}: {colour}" for number, colour in enumerate(colours))


DRAWING = "\n".join([
    f":root {{ color-scheme: light dark; --paper: #fff; --ink: #1b2330; --dim: #5c6672; --line: #dfe3e8;"
    f" --stripe: #f5f7f9; {_colours(LIGHT)} }}",
    "@media (prefers-color-scheme: dark) { :root { --paper: #14181e; --ink: #e6e9ee; --dim: #98a2af; --line: #2b323b;"
    f" --stripe: #1a1f27; {_colours(DARK)} }} }}",
    "svg { display: block; font: 12.5px system-ui, sans-serif; fill: var(--ink) }",
    "svg .grid { stroke: var(--line); fill: none }",
    "svg .line { stroke: var(--colour); stroke-width: 2; fill: none }",
    "svg .mark { fill: var(--colour) }",
    "svg .dim { fill: var(--dim) }",
    "svg .end { text-anchor: end }",
    "svg .mid { text-anchor: middle }",
    *(f".c{number} {{ --colour: var(--c{number}) }}" for number in range(len(LIGHT))),
])  # fmt: skip
"""What a drawing needs, alone or in a page."""

STYLE = f"""{DRAWING}
body {{ margin: 0 auto; padding: 24px 32px 48px; max-width: 1200px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }}
h1 {{ font-size: 24px; margin: 0 }}
h2 {{ font-size: 17px; margin: 36px 0 10px }}
p {{ margin: 4px 0 12px; color: var(--dim); max-width: 960px }}
p.warning {{ color: var(--ink); border-left: 4px solid var(--c1); padding-left: 10px }}
code {{ font: 13px ui-monospace, monospace; overflow-wrap: anywhere }}
.facts {{ display: flex; flex-wrap: wrap; gap: 10px; margin: 18px 0 0 }}
.facts div {{ border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; min-width: 108px }}
.facts b {{ display: block; font-size: 19px; font-weight: 600 }}
.facts span {{ color: var(--dim); font-size: 13px }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--line) }}
th {{ color: var(--dim); font-weight: 500 }}
tbody tr:nth-child(odd) {{ background: var(--stripe) }}
"""
