"""The one style sheet of the sandbox's pages: light and dark, from phones up."""

CSS = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1a1f2b;--soft:#5b6475;
--line:#e1e5ec;--accent:#4338ca;--on-accent:#fff;--bad:#b42318;--bad-bg:#fef3f2;--good:#067647;
--good-bg:#ecfdf3;--warn-bg:#fff4d6;--warn-ink:#5c3c00;--warn-line:#f2d27a;--chip:#eef0f5}
@media(prefers-color-scheme:dark){:root{--paper:#0f1218;--card:#181c25;--ink:#eceff5;
--soft:#9aa4b6;--line:#2b3140;--accent:#a5b4fc;--on-accent:#14162b;--bad:#fda29b;
--bad-bg:#3a1714;--good:#75e0a7;--good-bg:#0d2e1f;--warn-bg:#372a06;--warn-ink:#ffe3a0;
--warn-line:#5e4a12;--chip:#242a37}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.banner{background:var(--warn-bg);color:var(--warn-ink);border-bottom:1px solid var(--warn-line);
text-align:center;padding:.5rem 1rem;font-size:.9rem;font-weight:600}
main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}
main.narrow{max-width:30rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}
h2{font-size:1.05rem;margin:0 0 .75rem}
p{margin:0 0 .75rem}
a{color:var(--accent)}
.soft{color:var(--soft)}
.small{font-size:.875rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:1.5rem;
margin:0 0 1.25rem}
.two{display:grid;gap:1.5rem;grid-template-columns:1fr}
@media(min-width:50rem){.two{grid-template-columns:5fr 6fr;gap:2.5rem;align-items:start}}
.two .card{margin:0}
.sum{font-size:2.25rem;font-weight:650;letter-spacing:-.02em;line-height:1.2;margin:.1rem 0 1.25rem}
.row{display:flex;gap:1rem;justify-content:space-between;align-items:baseline;padding:.55rem 0}
.row+.row{border-top:1px solid var(--line)}
.row>span:last-child{text-align:right;min-width:0;overflow-wrap:break-word}
.row,.num{font-variant-numeric:tabular-nums}
.num{text-align:right;white-space:nowrap;flex:none}
.row b{display:block;font-weight:600;overflow-wrap:anywhere}
.total{font-weight:650;border-top:2px solid var(--line)!important}
label{display:block;font-size:.875rem;font-weight:600;margin:0 0 .3rem}
.field{margin:0 0 1rem;min-width:0}
.fields{display:grid;grid-template-columns:1fr 1fr;gap:.9rem}
input,select{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);
border-radius:9px;padding:.6rem .75rem;width:100%;min-width:0}
input:focus-visible,select:focus-visible,button:focus-visible,a:focus-visible{
outline:3px solid var(--accent);outline-offset:2px}
button,.button{font:inherit;font-weight:600;border:1px solid var(--line);border-radius:9px;
padding:.55rem .95rem;background:var(--card);color:var(--ink);cursor:pointer;text-decoration:none;
display:inline-block}
button:hover,.button:hover{border-color:var(--soft)}
button.main{background:var(--accent);border-color:var(--accent);color:var(--on-accent);width:100%;
padding:.75rem 1rem;font-size:1.05rem}
button.danger{color:var(--bad)}
.quick{border-top:1px solid var(--line);margin-top:1.5rem;padding-top:1.25rem}
.buttons{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center}
.quick .buttons{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr))}
.quick button{font-size:.875rem;text-align:left;line-height:1.35}
.quick code{display:block;font-weight:400;color:var(--soft);font-size:.8rem}
form{margin:0}
.note{border-radius:9px;padding:.7rem .9rem;margin:0 0 1.1rem;background:var(--chip)}
.note.bad{background:var(--bad-bg);color:var(--bad)}
.note.good{background:var(--good-bg);color:var(--good)}
.chip{display:inline-block;background:var(--chip);color:var(--soft);border-radius:99px;
padding:.05rem .6rem;font-size:.8rem;font-weight:600;white-space:nowrap}
.chip.good{background:var(--good-bg);color:var(--good)}
.chip.bad{background:var(--bad-bg);color:var(--bad)}
.scroll{overflow-x:auto}
.scroll table{min-width:max-content}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{text-align:left;color:var(--soft);font-weight:600;font-size:.8rem}
th,td{padding:.5rem .9rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:middle}
th:last-child,td:last-child{padding-right:0}
tr:last-child td{border-bottom:0}
td form{display:inline-block}
td button{padding:.25rem .6rem;font-size:.85rem}
td input{width:6rem;padding:.25rem .5rem;font-size:.85rem}
code{font:.85em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
td code{white-space:nowrap}
.top{display:flex;flex-wrap:wrap;gap:.75rem;justify-content:space-between;align-items:center;
margin:0 0 1.25rem}
.top h1,.top h2{margin:0}
.card .top{margin:0 0 .75rem}
.code{display:grid;grid-template-columns:1fr auto;gap:.3rem .5rem}
.code label{grid-column:1/-1;margin:0}
.buttons label{margin:0}
@media(max-width:30rem){.card{padding:1.1rem}table{font-size:.82rem}.scroll .wraps{min-width:0}
th,td{padding-right:.55rem}}
.end{margin-top:1rem}
"""
