#include <fmt/format.h>

#include <algorithm>

#include "fathom/report/columns.h"
#include "fathom/report/render.h"
#include "fathom/report/svg.h"

namespace fathom::report {
namespace {

// {0}: title, {1}: the style of pictures in the dark.
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
body {{ margin: 1rem auto; max-width: 110rem; padding: 0 1rem; background: var(--page);
       color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
body.tips {{ padding-bottom: 6rem; }}
p {{ max-width: 60rem; }}
h1 {{ font-size: 1.3rem; }}
h2 {{ font-size: 1.15rem; }}
h3 {{ font-size: 1rem; }}
.text {{ font: 17px/1.75 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
        border: 1px solid var(--line); border-radius: 6px; padding: 1rem; }}
.t {{ position: relative; border-radius: 2px; cursor: default; }}
.t.coloured {{ color: #1b1b1f; padding-bottom: 4px; }}
.marked {{ text-decoration: underline 2px; text-underline-offset: 3px; }}
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
.row.strong {{ font-weight: bold; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: .7rem 0; }}
caption {{ text-align: left; font-weight: bold; }}
th, td {{ padding: .1rem .9rem .1rem 0; text-align: left; font-weight: normal; }}
thead th {{ border-bottom: 1px solid var(--line); }}
.n {{ font-variant-numeric: tabular-nums; text-align: right; }}
code {{ font: inherit; font-family: ui-monospace, monospace; }}
.key {{ display: inline-block; width: 1em; height: 1em; border-radius: 2px; vertical-align: -.15em; }}
.legend {{ position: sticky; top: 0; z-index: 3; margin: 0; padding: .5rem 0; max-width: none;
          background: var(--page); }}
.legend .name {{ margin-right: .5em; }}
figure {{ margin: 1rem 0; }}
svg {{ max-width: 100%; height: auto; }}
{1}
)";

struct Page {
  size_t tips = 0, texts = 0;
  std::string styles;  // of coloured texts
};

std::string part_html(const Heading& heading, Page&) {
  const int level = std::clamp(heading.level, 1, 3);
  return fmt::format("<h{0}>{1}</h{0}>\n", level, xml_text(heading.text));
}

std::string part_html(const Paragraph& paragraph, Page&) {
  std::string out;
  for (const char c : xml_lines(paragraph.text)) out += c == '\n' ? "<br>\n" : std::string(1, c);
  return "<p>" + out + "</p>\n";
}

std::string part_html(const Table& table, Page&) {
  std::string out = "<div class=\"wide\"><table>";
  if (!table.title.empty()) out += "<caption>" + xml_text(table.title) + "</caption>";
  const auto texts = table_texts(table);
  const auto look = [&](size_t i) {
    return table.columns[i].align == Align::kRight ? " class=\"n\"" : "";
  };
  if (table.header) {
    out += "<thead><tr>";
    for (size_t i = 0; i < table.columns.size(); ++i)
      out += fmt::format("<th{}>{}</th>", look(i), xml_text(texts[0][i]));
    out += "</tr></thead>";
  }
  out += "\n";
  for (size_t r = 1; r < texts.size(); ++r) {
    const std::vector<Cell>& cells = table.rows[r - 1];
    out += "<tr>";
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const std::string text = xml_text(texts[r][i]);
      const bool marked = i < cells.size() && cells[i].marked;
      out += fmt::format("<td{}>{}{}{}</td>", look(i), marked ? "<span class=\"marked\">" : "",
                         text, marked ? "</span>" : "");
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

std::string figure(const Drawing& drawing, const std::string& title) {
  return fmt::format(
      "<figure><svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
      "aria-label=\"{2}\" font-family=\"system-ui, sans-serif\">\n{3}</svg></figure>\n",
      coordinate(drawing.width), coordinate(drawing.height), xml_text(title), drawing.elements);
}

constexpr double kFigureWidth = 860;

std::string part_html(const Plot& plot, Page&) {
  return figure(draw(plot, kFigureWidth), plot.title.empty() ? plot.y.label : plot.title);
}

std::string part_html(const Bars& bars, Page&) {
  return figure(draw(bars, kFigureWidth), bars.title);
}

std::string part_html(const Graph& graph, Page&) {
  return figure(draw(graph, kFigureWidth), graph.title);
}

std::string word_html(const Detail::Word& word) {
  const std::string text = xml_text(word.text);
  switch (word.kind) {
    case Detail::Kind::kCode:
      return "<code>" + text + "</code>";
    case Detail::Kind::kNumber:
      return "<span class=\"n\">" + text + "</span>";
    case Detail::Kind::kPlain:
      break;
  }
  return text;
}

std::string tip_html(const Detail& detail, size_t number) {
  std::string out = fmt::format("<span class=\"tip\" role=\"tooltip\" id=\"tip{}\">", number);
  for (const Detail::Word& word : detail.sentence) out += word_html(word);
  out += "<span class=\"rows\">";
  for (size_t r = 0; r < detail.rows.size(); ++r) {
    out += detail.strong_row == r ? "<span class=\"row strong\">" : "<span class=\"row\">";
    for (const Detail::Word& word : detail.rows[r])
      out += word.kind == Detail::Kind::kPlain ? "<span>" + xml_text(word.text) + "</span>"
                                               : word_html(word);
    out += "</span>";
  }
  return out + "</span></span>";
}

std::string run_html(const ColouredText& text, const TextRun& run, Page& page) {
  const auto place = scale_place(text, run);
  std::string shown = run.text;
  // A mark before a line break is a place for its colour.
  if (place || run.marked)
    for (size_t i = 0; (i = shown.find('\n', i)) != shown.npos; i += 4)
      shown.replace(i, 1, "\u21b5\n");
  shown = xml_lines(shown);
  if (!place && !run.marked && !run.detail) return shown;
  std::string look = "t";
  if (run.category) look += fmt::format(" l{}", *run.category);
  if (place) look += " coloured";
  if (run.marked) look += " marked";
  std::string out = fmt::format("<span class=\"{}\"", look);
  if (run.shade && place)
    out += fmt::format(" style=\"background: {}\"", css(scale_colour(*place)));
  if (!run.detail) return out + ">" + shown + "</span>";
  const size_t tip = page.tips++;
  return out + fmt::format(" tabindex=\"0\" aria-describedby=\"tip{}\">{}{}</span>", tip, shown,
                           tip_html(*run.detail, tip));
}

std::string part_html(const ColouredText& text, Page& page) {
  const std::string name = fmt::format("text{}", page.texts++);
  std::string legend;
  for (size_t i = 0; i < text.categories.size(); ++i) {
    TextRun of_category;
    of_category.category = i;
    page.styles += fmt::format(".{} .l{} {{ background: {}; }}\n", name, i,
                               css(scale_colour(*scale_place(text, of_category))));
    legend += fmt::format("<span class=\"key l{}\"></span> <span class=\"name\">{}</span>", i,
                          xml_text(text.categories[i].name));
  }
  if (!legend.empty() && !text.legend.empty()) legend = xml_text(text.legend) + " " + legend;
  if (!text.mark.empty()) {
    legend += legend.empty() ? "" : "&ensp;";
    legend += "<span class=\"marked\">underlined</span>: " + xml_text(text.mark);
  }
  // The key stays in view while a long text moves below it.
  std::string out =
      legend.empty() ? "" : fmt::format("<p class=\"legend {}\">{}</p>\n", name, legend);
  out += fmt::format("<div class=\"text {}\">", name);
  for (const TextRun& run : text.runs) out += run_html(text, run, page);
  return out + "</div>\n";
}

}  // namespace

std::string render_html(const Report& report) {
  Page page;
  std::string body;
  for (const Part& part : report.parts)
    if ((part.shown_in & kInHtml) != 0)
      body += std::visit([&](const auto& b) { return part_html(b, page); }, part.body);
  const std::string title = xml_text(report.title);
  std::string out = fmt::format(kHead, title, kDarkStyle) + page.styles + "</style>\n</head>\n";
  out += page.tips > 0 ? "<body class=\"tips\">\n" : "<body>\n";
  if (!title.empty() && !repeats_title(report, kInHtml)) out += "<h1>" + title + "</h1>\n";
  return out + body + "</body>\n</html>\n";
}

}  // namespace fathom::report
