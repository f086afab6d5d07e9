// What the tests of reports share: a report with one part of every kind, texts that mean harm, and
// whether a text is well-formed XML.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "fathom/report/render.h"

namespace fathom::report {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

inline Plot example_plot() {
  Plot plot;
  plot.title = "loss of two runs";
  plot.x.label = "step";
  plot.y.label = "nats per token";
  Line first{"first", {0, 100, 200, 300, 400}, {4, 3, 2.5, kNaN, 2.25}};
  Line second{"second", {0, 200, 400}, {4, 3, 2}, {3.75, 2.5, 1.75}, {4.25, 3.25, 2.5}};
  plot.lines = {first, second};
  return plot;
}

inline ColouredText example_text() {
  ColouredText text;
  text.legend = "answered by";
  text.mark = "wrong";
  text.categories = {{"layer 0", '0'}, {"layer 3", '3'}};
  TextRun early{"the\n", 0}, late{"rain", 1};
  late.marked = true;
  Detail detail;
  detail.sentence = {{"truth "}, {"rain", Detail::Kind::kCode}};
  detail.rows = {{{"layer 0"}, {"0.250", Detail::Kind::kNumber}}};
  detail.strong_row = 0;
  late.detail = detail;
  TextRun shade{"!"};
  shade.shade = 0.5;
  text.runs = {{"In "}, early, late, shade};
  return text;
}

inline Report example() {
  Report report;
  report.title = "An example";
  report.add(Heading{"What there is", 2});
  report.add(Paragraph{"A line,\nand another."});
  Table table;
  table.title = "sizes";
  table.columns = {{"name", Align::kLeft},
                   {"tokens", Align::kRight, {NumberForm::Kind::kCount}},
                   {"loss", Align::kRight, {NumberForm::Kind::kFixed, 4}, "nats"},
                   {"right", Align::kRight, {NumberForm::Kind::kPercent, 1}}};
  Cell marked = "second";
  marked.marked = true;
  table.rows = {{"first", 1234567, 2.5, 0.25}, {marked, 8, kNaN}};
  report.add(table);
  report.add(example_plot());
  report.add(Bars{"who answers",
                  {"layer 0", "layer 3", "nobody"},
                  {0.25, 0.75, kNaN},
                  {NumberForm::Kind::kPercent, 1}});
  report.add(example_text());
  return report;
}

// Texts that a format, a terminal or a program behind it would obey.
inline const std::vector<std::string>& hostile_texts() {
  static const std::vector<std::string> all = {"<script>alert(1)</script>",
                                               "</title></style></svg>",
                                               "a & b \"c\" 'd' `e` $f",
                                               "]]> --> <!-- &amp; &#0;",
                                               "| a | b |\n|---|---|",
                                               "[x](javascript:y) ![z](w) <u>",
                                               "# heading\n* item",
                                               "\033[2J\033]0;title\007\r\b",
                                               "\u202eright to left\u202c \u200b\ufeff",
                                               std::string("nul \0 and \xff\xfe bytes", 18),
                                               "\uffff\ufffe \U000e0041",
                                               "%s {} {0} \\n \\x",
                                               "'; system('touch harm'); '",
                                               "日本語 e\u0301 👩\u200d🚀",
                                               ""};
  return all;
}

// A report in which every text is `text`.
inline Report report_of(const std::string& text) {
  Report report = example();
  report.title = text;
  for (Part& part : report.parts) {
    if (auto* heading = std::get_if<Heading>(&part.body)) heading->text = text;
    if (auto* paragraph = std::get_if<Paragraph>(&part.body)) paragraph->text = text;
    if (auto* table = std::get_if<Table>(&part.body)) {
      table->title = text;
      for (Column& column : table->columns) column.name = column.unit = text;
      for (auto& row : table->rows) row[0] = text;
    }
    if (auto* plot = std::get_if<Plot>(&part.body)) {
      plot->title = plot->x.label = plot->y.label = text;
      for (Line& line : plot->lines) line.name = text;
    }
    if (auto* bars = std::get_if<Bars>(&part.body)) {
      bars->title = text;
      for (std::string& name : bars->names) name = text;
    }
    if (auto* coloured = std::get_if<ColouredText>(&part.body)) {
      coloured->legend = coloured->mark = text;
      for (auto& category : coloured->categories) category.name = text;
      for (TextRun& run : coloured->runs) {
        run.text = text;
        if (!run.detail) continue;
        for (Detail::Word& word : run.detail->sentence) word.text = text;
        for (Detail::Word& word : run.detail->rows[0]) word.text = text;
      }
    }
  }
  return report;
}

// Why `xml` is not well-formed; empty: it is. Elements, attributes, character data and the five
// entities are all that our pictures are made of.
std::string fault_of_xml(const std::string& xml);

}  // namespace fathom::report
