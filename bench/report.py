"""A run's findings as Markdown; `python -m bench.report` writes them into docs/performance.md."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import targets
from bench.paths import verify
from bench.record import KEPT, Finding, Record
from bench.targets import BARE, SEEDS
from config import paths

PAGE = paths.ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# Heads and figures of the tables that do not tell of servers.
PLAIN = {
    "recompute": {"p50 ms": "p50_ms", "p99 ms": "p99_ms", "CPU µs": "cpu_us"},
    "rollup": {"events per s": "per_s", "PostgreSQL's CPU µs an event": "pg_us"},
    "memory": {"RSS MB": "rss_mb", "PSS MB": "pss_mb"},
    "reconcile": {
        **{"CPU s": "cpu_s", "seconds": "wall_s", "pages": "pages"},
        **{"longest transaction s": "transaction_s", "MB at most": "peak_mb"},
    },
    "hits": {
        **{"hit rate, cold": "cold_hit_rate", "per s, cold": "cold_per_s"},
        **{"hit rate, later": "hit_rate", "per s": "per_s"},
        **{"p50 ms": "p50_ms", "p99 ms": "p99_ms"},
    },
}
SERVED = ("", "per s", "of bare", "CPU µs", "of bare", "x seeds", "by CPU")
SERVED += ("pg µs", "redis µs", "p50 ms", "p99 ms", "RSS MB", "PSS MB")


def main() -> None:
    """Write the tables of a run's file between the page's markers."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else KEPT
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        sys.exit(f"{PAGE.name} has no markers {BEGIN} and {END}.")
    PAGE.write_text(f"{before}{BEGIN}\n{whole(Record.read(file))}\n{END}{after}")
    print(f"Wrote {file} into {PAGE.name}.")


def whole(record: Record) -> str:
    """Targets first, then each table."""
    head = record.head
    loads = [one.load[0] for one in record.findings]
    lasted = f"{head['minutes']:.0f} minutes" if "minutes" in head else "stopped before its end"
    told = (
        f"Run of {head['began']}, commit {head['commit']}, {head['machine']}, `--size "
        f"{head['size']} --seconds {head['seconds']} --rounds {head['rounds']} --connections "
        f"{head['connections']}`, {lasted}. Load of the machine at "
        f"the end of each table: {min(loads):.1f} to {max(loads):.1f}."
    )
    tables = [table(one) for one in record.findings]
    return "\n".join([told, "", *summary(record), *tables])


def summary(record: Record) -> Iterator[str]:
    found = list(targets.rows(record))
    if found:
        yield from _grid(targets.HEAD, found)


def table(finding: Finding) -> str:
    load = " ".join(f"{each:.1f}" for each in finding.load)
    lines = [f"\n**{finding.title}** ({finding.place}; load {load})\n"]
    if finding.kind == "served":
        lines += _grid(SERVED, [_served(finding, name) for name in finding.figures])
        if finding.path == "verify" and "push cache" in finding.figures:
            lines.append(verify.told(finding.figures))
        return "\n".join(lines)
    columns = PLAIN[finding.kind]
    rows = [
        (name, *(_number(one[figure], figure) for figure in columns.values()))
        for name, one in finding.figures.items()
    ]
    return "\n".join([*lines, *_grid(("", *columns), rows)])


def _served(finding: Finding, name: str) -> tuple[str, ...]:
    one, bare = finding.figures[name], finding.figures.get(BARE)
    seeds = finding.figures.get(SEEDS)
    return (
        name,
        f"{one['per_s']:,.0f}",
        f"{one['per_s'] / bare['per_s']:.2f}" if bare else "",
        _number(one["cpu_us"], "us"),
        f"{bare['cpu_us'] / one['cpu_us']:.2f}" if bare and one["cpu_us"] else "",
        targets.shown(one["per_s"] / seeds["per_s"]) if seeds else "",
        targets.shown(seeds["cpu_us"] / one["cpu_us"]) if seeds and one["cpu_us"] else "",
        _number(one["pg_us"], "us"),
        _number(one["redis_us"], "us"),
        f"{one['p50_ms']:.1f}",
        f"{one['p99_ms']:.1f}",
        f"{one['rss_mb']:.0f}",
        f"{one['pss_mb']:.0f}",
    )


def _number(value: float, figure: str) -> str:
    if figure.endswith("hit_rate"):
        return f"{value:.1%}"
    return f"{value:,.0f}" if value >= 20 or value == int(value) else f"{value:.1f}"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


if __name__ == "__main__":
    main()
