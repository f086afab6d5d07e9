#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "fathom/report/render.h"
#include "fathom/study/tables/exit_table.h"

namespace fathom {
namespace {

using Kind = report::Detail::Kind;

nlohmann::json numbers(const ExitTable& table) {
  using nlohmann::json;
  const ExitSummary s = summarize(table);
  json rows = json::array();
  for (const ExitRow& row : table.rows) {
    json layers = json::array();
    for (const LayerGuess& guess : row.layers) {
      json best = json::array();
      for (const auto& c : guess.best)
        best.push_back({{"token", c.token}, {"text", report::json_word(c.text)}, {"p", c.p}});
      layers.push_back({{"best", best},
                        {"p_truth", guess.p_truth},
                        {"score", std::isfinite(guess.score) ? json(guess.score) : json()}});
    }
    rows.push_back({{"token", row.token},
                    {"truth", report::json_word(row.truth)},
                    {"predicted", report::json_word(row.predicted())},
                    {"right", row.right},
                    {"layer", table.layers[row.exit]},
                    {"confident", row.confident},
                    {"layers", layers}});
  }
  json out = {{"run", table.run},
              {"source", table.source},
              {"text", report::json_word(table.text())},
              {"layers", table.layers},
              {"thresholds", table.thresholds},
              {"answers", s.answers},
              {"right", s.right},
              {"fallback", s.fallback},
              {"accuracy", s.accuracy},
              {"mean_nats", s.mean_nats},
              {"mean_layers", s.mean_layers},
              {"rows", rows}};
  if (!table.rule.empty()) out["rule"] = table.rule;
  if (!table.names.empty()) out["names"] = table.names;
  if (!table.depths.empty()) out["depths"] = table.depths;
  return out;
}

// What every layer thought of one position.
report::Detail detail_of(const ExitTable& table, const ExitRow& row) {
  report::Detail detail;
  detail.sentence = {{"truth "}, {visible_token(row.truth), Kind::kCode}};
  detail.sentence.push_back(
      {table.answers_early()
           ? fmt::format(", {} layer {}{}", row.right ? "answered by" : "answered wrongly by",
                         table.name(row.exit), row.confident ? "" : ", though not sure")
       : row.right ? ", answered rightly"
                   : ", answered wrongly"});
  for (size_t i = 0; i < row.layers.size(); ++i) {
    std::vector<report::Detail::Word> cells = {{fmt::format("layer {}", table.name(i))}};
    for (const auto& c : row.layers[i].best) {
      cells.push_back({visible_token(c.text), Kind::kCode});
      cells.push_back({fmt::format("{:.3f}", c.p), Kind::kNumber});
    }
    cells.push_back({fmt::format("truth {:.3f}", row.layers[i].p_truth), Kind::kNumber});
    detail.rows.push_back(std::move(cells));
  }
  detail.strong_row = row.exit;
  return detail;
}

report::ColouredText text_of(const ExitTable& table) {
  report::ColouredText text;
  const bool early = table.answers_early();
  text.mark = "wrong";
  if (early) text.legend = "answered by";
  // A layer's last digit; where several answers are of one layer, which answer it is.
  const auto sign = [&](size_t i) {
    return table.names.empty() ? table.layers[i] % 10 : static_cast<int>(i % 10);
  };
  for (size_t i = 0; early && i < table.layers.size(); ++i)
    text.categories.push_back({"layer " + table.name(i), static_cast<char>('0' + sign(i))});
  text.runs.push_back({table.first});
  for (const ExitRow& row : table.rows) {
    report::TextRun run;
    run.text = row.truth;
    if (early) run.category = row.exit;
    run.marked = !row.right;
    run.detail = detail_of(table, row);
    text.runs.push_back(std::move(run));
  }
  return text;
}

double share(size_t part, size_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

report::Table layers_of(const ExitTable& table, const ExitSummary& s) {
  const report::NumberForm percent = {report::NumberForm::Kind::kPercent, 1};
  report::Table out;
  out.columns = {{"layer"},
                 {"threshold", report::Align::kRight, {report::NumberForm::Kind::kGeneral, 6}},
                 {"answers", report::Align::kRight, percent},
                 {"right there", report::Align::kRight, percent}};
  for (size_t i = 0; i < table.layers.size(); ++i) {
    const report::Cell none = "-";
    out.rows.push_back(
        {table.names.empty() ? report::Cell(table.layers[i]) : report::Cell(table.names[i]),
         table.thresholds[i],
         table.rows.empty() ? none : report::Cell(share(s.answers[i], table.rows.size())),
         s.answers[i] == 0 ? none : report::Cell(share(s.right[i], s.answers[i]))});
  }
  return out;
}

// The notebook's table.
report::Table positions_of(const ExitTable& table) {
  const report::NumberForm probability = {report::NumberForm::Kind::kFixed, 3};
  report::Table out;
  out.columns = {{"GT", report::Align::kLeft}};
  for (size_t i = 0; i < table.layers.size(); ++i)
    out.columns.push_back({"L" + table.name(i), report::Align::kLeft});
  out.columns.push_back({"p(gt)", report::Align::kLeft, probability});
  out.columns.push_back({"p(pred)", report::Align::kLeft, probability});
  for (const ExitRow& row : table.rows) {
    const auto cell = [&](const std::string& token) {
      report::Cell c = visible_token(token);
      c.marked = !row.right;
      return c;
    };
    std::vector<report::Cell> cells = {cell(row.truth)};
    for (size_t i = 0; i < table.layers.size(); ++i)
      cells.push_back(i == row.exit ? cell(row.predicted()) : report::Cell());
    cells.emplace_back(row.answer().p_truth);
    cells.emplace_back(row.p_predicted());
    out.rows.push_back(std::move(cells));
  }
  return out;
}

}  // namespace

std::string unsure_text(double share) {
  if (share == 0) return "a layer was sure of every token";
  return fmt::format("{} {} of the tokens", kUnsure,
                     report::shown(share, {report::NumberForm::Kind::kPercent, 1}));
}

report::Report exit_report(const ExitTable& table) {
  const ExitSummary s = summarize(table);
  const bool early = table.answers_early();
  const std::string depth = depth_sentence(table);
  const std::string quality = fmt::format("ccuracy {:.3f}, {:.4f} nats per token{}", s.accuracy,
                                          s.mean_nats, early ? " from the layer that answers" : "");
  report::Report report;
  report.title = (early ? "Who answered: " : "What was predicted: ") + table.run;
  report.values = numbers(table);
  report.add(
      report::Paragraph{fmt::format(
          "{}, {} tokens. Each is {}underlined where the answer was wrong. Point at one, or "
          "reach it with Tab, to see what {} thought.",
          table.source, table.rows.size(), early ? "coloured by the layer that answered, and " : "",
          early ? "every layer" : "the model")},
      report::kInHtml);
  report.add(report::Paragraph{fmt::format("{}, {} tokens", table.source, table.rows.size())},
             report::kInSvg);
  report.add(report::Paragraph{"Sample text:"}, report::kInMarkdown);
  report.add(text_of(table));
  report.add(report::Paragraph{fmt::format("{}: {}, {} tokens\na{}\n{}", table.run, table.source,
                                           table.rows.size(), quality, depth)},
             report::kInTerminal);
  if (early && !table.rule.empty())
    report.add(report::Paragraph{"A layer answers where " + table.rule + "."},
               report::kInTerminal | report::kInHtml);
  if (early)
    report.add(layers_of(table, s), report::kInTerminal | report::kInHtml | report::kInSvg);
  const std::string unsure =
      unsure_text(table.rows.empty() ? std::numeric_limits<double>::quiet_NaN()
                                     : share(s.fallback, table.rows.size()));
  if (early) report.add(report::Paragraph{unsure}, report::kInTerminal);
  report.add(report::Paragraph{"A" + quality +
                               (early ? ", " + depth + "; " + unsure : "; " + depth) + "."},
             report::kInHtml | report::kInSvg);
  report.add(positions_of(table), report::kInMarkdown);
  if (!early) report.add(report::Paragraph{depth}, report::kInMarkdown);
  return report;
}

}  // namespace fathom
