#include <fmt/format.h>

#include <cmath>

#include "fathom/study/tables/exit_table.h"

namespace fathom {
namespace {

// {0} title
constexpr char kHead[] = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{0}</title>
<style>
:root {{ color-scheme: light dark; --page: #fff; --ink: #1b1b1f; --card: #fff; --line: #c8c8d0; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #17171b; --ink: #e8e8ee; --card: #232329; --line: #4a4a55; }}
}}
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem 45vh; background: var(--page);
       color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.3rem; }}
.text {{ font: 17px/2 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
        border: 1px solid var(--line); border-radius: 6px; padding: 1rem; }}
.t {{ position: relative; color: #1b1b1f; border-radius: 2px; cursor: default; }}
.t.wrong {{ text-decoration: underline 2px; text-underline-offset: 3px; }}
.t:hover, .t:focus {{ outline: 2px solid var(--ink); outline-offset: 1px; z-index: 2; }}
.tip {{ display: none; position: fixed; left: 1rem; right: 1rem; bottom: 1rem; z-index: 2;
       max-height: 45vh; overflow: auto; padding: .5rem .7rem; background: var(--card);
       color: var(--ink); border: 1px solid var(--line); border-radius: 6px;
       box-shadow: 0 4px 16px #0004; white-space: nowrap; font: 13px/1.4 system-ui, sans-serif; }}
.t:hover > .tip, .t:focus > .tip {{ display: block; }}
.t:hover > .tip {{ z-index: 3; }}
.rows {{ display: table; }}
.row {{ display: table-row; }}
.row > * {{ display: table-cell; padding: .1rem .6rem .1rem 0; }}
.row.answer {{ font-weight: bold; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .1rem .6rem .1rem 0; text-align: left; font-weight: normal; }}
.n {{ font-variant-numeric: tabular-nums; text-align: right; }}
code {{ font: inherit; font-family: ui-monospace, monospace; }}
.key {{ display: inline-block; width: 1em; height: 1em; border-radius: 2px; vertical-align: -.15em; }}
)";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  return out;
}

// Light enough for dark letters: from green (answered at once) over yellow to rose (went all the
// way), apart in lightness as well.
std::string colour_of(size_t layer, size_t layers) {
  const double x = layers <= 1 ? 1 : static_cast<double>(layer) / static_cast<double>(layers - 1);
  return fmt::format("hsl({:.0f} 70% {:.0f}%)", 140 - 150 * x, 72 + 12 * std::sin(x * 3.14159265));
}

std::string tip(const ExitTable& table, const ExitRow& row, size_t number) {
  std::string out = fmt::format("<span class=\"tip\" role=\"tooltip\" id=\"tip{}\">", number);
  out += fmt::format("truth <code>{}</code>, ", escaped(visible_token(row.truth)));
  if (table.answers_early())
    out += fmt::format("{} layer {}{}", row.right ? "answered by" : "answered wrongly by",
                       table.layers[row.exit], row.confident ? "" : ", though not confident");
  else
    out += row.right ? "answered rightly" : "answered wrongly";
  out += "<span class=\"rows\">";
  for (size_t i = 0; i < row.layers.size(); ++i) {
    const LayerGuess& guess = row.layers[i];
    out += fmt::format("<span class=\"row{}\"><span>layer {}</span>",
                       i == row.exit ? " answer" : "", table.layers[i]);
    for (const auto& c : guess.best)
      out += fmt::format("<code>{}</code><span class=\"n\">{:.3f}</span>",
                         escaped(visible_token(c.text)), c.p);
    out += fmt::format("<span class=\"n\">truth {:.3f}</span></span>", guess.p_truth);
  }
  return out + "</span></span>";
}

std::string summary_table(const ExitTable& t) {
  if (!t.answers_early()) return "";
  const ExitSummary s = summarize(t);
  std::string out =
      "<table><tr><th></th><th>layer</th><th>threshold</th><th>answers</th><th>right "
      "there</th></tr>\n";
  for (size_t i = 0; i < t.layers.size(); ++i)
    out += fmt::format(
        "<tr><td><span class=\"key l{}\"></span></td><td>{}</td><td class=\"n\">{}</td>"
        "<td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        i, t.layers[i], fmt::format("{:g}", t.thresholds[i]), s.answers[i],
        s.answers[i] == 0
            ? "-"
            : fmt::format("{:.1f} %", 100.0 * double(s.right[i]) / double(s.answers[i])));
  return out + "</table>\n";
}

}  // namespace

std::string html_page(const ExitTable& table) {
  const ExitSummary s = summarize(table);
  const bool early = table.answers_early();
  const std::string title =
      escaped((early ? "Who answered: " : "What was predicted: ") + table.run);
  std::string out = fmt::format(kHead, title);
  for (size_t i = 0; early && i < table.layers.size(); ++i)
    out += fmt::format(".l{} {{ background: {}; }}\n", i, colour_of(i, table.layers.size()));
  if (!early) out += ".t { color: inherit; }\n";
  out += fmt::format("</style>\n</head>\n<body>\n<h1>{}</h1>\n", title);
  out += fmt::format(
      "<p>{}, {} tokens. Each is {}underlined where the answer was wrong. Point at one, or reach "
      "it "
      "with Tab, to see what {} thought.</p>\n",
      escaped(table.source), table.rows.size(),
      early ? "coloured by the layer that answered, and " : "",
      early ? "every layer" : "the model");
  out += "<div class=\"text\">" + escaped(with_line_marks(table.first));
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const ExitRow& row = table.rows[i];
    out += fmt::format(
        "<span class=\"t l{}{}\" tabindex=\"0\" aria-describedby=\"tip{}\">{}{}</span>", row.exit,
        row.right ? "" : " wrong", i, escaped(with_line_marks(row.truth)), tip(table, row, i));
  }
  out += "</div>\n" + summary_table(table);
  out += fmt::format("<p>Accuracy {:.3f}, {:.4f} nats per token", s.accuracy, s.mean_nats);
  if (early)
    out += fmt::format(" from the layer that answers, {}; nobody was confident about {} tokens.",
                       depth_sentence(table), s.fallback);
  else
    out += "; " + depth_sentence(table) + ".";
  return out + "</p>\n</body>\n</html>\n";
}

}  // namespace fathom
