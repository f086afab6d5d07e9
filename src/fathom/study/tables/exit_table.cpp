#include "fathom/study/tables/exit_table.h"

#include <fmt/format.h>

#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "fathom/base/utf8.h"
#include "fathom/base/visible.h"

namespace fathom {
namespace {

// For black letters, in light and dark terminals: from green (answered at once) to red (went all
// the way).
constexpr int kColours[] = {120, 156, 192, 228, 222, 216, 210};

int colour_of(size_t layer, size_t layers) {
  const size_t last = std::size(kColours) - 1;
  return kColours[layers <= 1 ? last : layer * last / (layers - 1)];
}

std::string markdown_cell(const std::string& token) {
  std::string out;
  for (const char c : visible_token(token)) {
    if (c == '|')
      out += "\\|";
    else if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

std::string percent(size_t part, size_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f} %", 100.0 * double(part) / double(whole));
}

std::string summary_lines(const ExitTable& t) {
  const ExitSummary s = summarize(t);
  std::string out =
      fmt::format("{}: {}, {} tokens\n", visible(t.run), visible(t.source), t.rows.size());
  out += fmt::format("accuracy {:.3f}, {:.4f} nats per token", s.accuracy, s.mean_nats);
  if (!t.answers_early()) return out + "\n" + depth_sentence(t) + "\n";
  out += fmt::format(" from the layer that answers, {}\n", depth_sentence(t));
  out += "\n  layer  threshold   answers  right there\n";
  for (size_t i = 0; i < t.layers.size(); ++i)
    out += fmt::format("  {:>5}  {:>9}  {:>8}  {:>11}\n", t.layers[i],
                       fmt::format("{:g}", t.thresholds[i]), percent(s.answers[i], t.rows.size()),
                       percent(s.right[i], s.answers[i]));
  return out + fmt::format("  nobody was confident about {}\n", percent(s.fallback, t.rows.size()));
}

// Cells of a terminal that `text` takes.
size_t columns(const std::string& text) {
  static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  const locale_t before = uselocale(utf8);
  size_t n = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    const int cells = length == 0 ? 1 : wcwidth(static_cast<wchar_t>(utf8_decode(text, i, length)));
    n += cells < 0 ? 1 : static_cast<size_t>(cells);
    i += std::max<size_t>(length, 1);
  }
  uselocale(before);
  return n;
}

// For programs: what is no text as \xNN, all else as it is.
std::string json_word(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const std::string_view character =
        std::string_view(text).substr(i, std::max<size_t>(1, utf8_length(text, i)));
    const bool stays = character == "\n" || character == "\t" || !is_control(character);
    out += stays ? std::string(character) : escape_of(character);
    i += character.size();
  }
  return out;
}

// Tabs would shift what stands below them.
std::string without_tabs(std::string text) {
  for (size_t i; (i = text.find('\t')) != text.npos;) text.replace(i, 1, "\\t");
  return text;
}

}  // namespace

std::string ExitTable::text() const {
  std::string out = first;
  for (const ExitRow& row : rows) out += row.truth;
  return out;
}

ExitSummary summarize(const ExitTable& table) {
  ExitSummary s;
  s.answers.assign(table.layers.size(), 0);
  s.right = s.answers;
  if (table.rows.empty()) return s;
  size_t right = 0;
  double nats = 0, layers = 0;
  for (const ExitRow& row : table.rows) {
    ++s.answers[row.exit];
    s.right[row.exit] += row.right;
    right += row.right;
    s.fallback += !row.confident;
    nats -= std::log(row.answer().p_truth);
    layers += table.layers[row.exit] + 1;
  }
  const auto n = static_cast<double>(table.rows.size());
  s.accuracy = static_cast<double>(right) / n;
  s.mean_nats = nats / n;
  s.mean_layers = table.answers_early() ? layers / n : table.layers.back() + 1;
  return s;
}

std::string depth_sentence(const ExitTable& table) {
  if (table.answers_early())
    return fmt::format("{:.2f} of {} layers on average", summarize(table).mean_layers,
                       table.layers.back() + 1);
  const int layers = table.layers.empty() ? 0 : table.layers.back() + 1;
  if (layers == 1) return "no layer answers early: the model has one";
  return fmt::format("no layer answers early: all {} layers are computed for every token", layers);
}

std::string visible_token(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == ' ')
      out += "[space]";
    else if (c == '\\' && text == "\\")
      out += "\\\\";  // alone: else the marks of other bytes would be doubled
    else
      out += c;
  }
  return out;
}

std::string printable(const std::string& text) {
  return visible(text);
}

std::string with_line_marks(const std::string& text) {
  std::string out;
  for (const char c : printable(text))
    out += c == '\n' ? std::string("\u21b5\n") : std::string(1, c);
  return out;
}

std::string terminal_text(const ExitTable& table, bool colour) {
  std::string out, line, names;
  const auto flush = [&] {
    out += line + "\n";
    if (!colour && table.answers_early() && names.find_first_not_of(' ') != names.npos)
      out += names + "\n";
    line.clear(), names.clear();
  };
  const auto add = [&](const std::string& token, const ExitRow* row) {
    const std::string piece =
        without_tabs(row != nullptr && colour ? with_line_marks(token) : printable(token));
    for (size_t from = 0; from <= piece.size();) {
      const size_t end = piece.find('\n', from);
      const std::string part = piece.substr(from, end == piece.npos ? end : end - from);
      if (row != nullptr && colour && !part.empty() && table.answers_early()) {
        line +=
            fmt::format("\033[30;48;5;{}{}m{}\033[0m", colour_of(row->exit, table.layers.size()),
                        row->right ? "" : ";4", part);
      } else if (row != nullptr && colour && !part.empty() && !row->right) {
        line += fmt::format("\033[4m{}\033[0m", part);
      } else {
        line += part;
      }
      const size_t width = columns(part);
      const std::string name = row == nullptr ? "" : std::to_string(table.layers[row->exit] % 10);
      for (size_t i = 0; i < width; ++i) names += i == 0 && !name.empty() ? name : " ";
      if (end == piece.npos) break;
      flush();
      from = end + 1;
    }
  };
  add(table.first, nullptr);
  for (const ExitRow& row : table.rows) add(row.truth, &row);
  flush();
  if (colour && !table.answers_early()) out += "\nunderlined: wrong\n";
  if (colour && table.answers_early()) {
    out += "\nanswered by";
    for (size_t i = 0; i < table.layers.size(); ++i)
      out += fmt::format(" \033[30;48;5;{}m layer {} \033[0m", colour_of(i, table.layers.size()),
                         table.layers[i]);
    out += "; underlined: wrong\n";
  }
  return out + "\n" + summary_lines(table);
}

std::string markdown(const ExitTable& table) {
  std::string out = "Sample text:\n\n";
  const std::string text = printable(table.text());
  for (size_t from = 0; from <= text.size();) {
    const size_t end = text.find('\n', from);
    out += "    " + text.substr(from, end == text.npos ? end : end - from) + "\n";
    if (end == text.npos) break;
    from = end + 1;
  }
  out += "\n| GT |";
  for (const int layer : table.layers) out += fmt::format(" L{} |", layer);
  out += " p(gt) | p(pred) |\n|---|";
  for (size_t i = 0; i < table.layers.size(); ++i) out += "---|";
  out += "---|---|\n";
  for (const ExitRow& row : table.rows) {
    const auto cell = [&](const std::string& token) {
      return row.right ? markdown_cell(token) : "<u>" + markdown_cell(token) + "</u>";
    };
    out += "| " + cell(row.truth) + " |";
    for (size_t i = 0; i < table.layers.size(); ++i)
      out += i == row.exit ? " " + cell(row.predicted()) + " |" : " |";
    out += fmt::format(" {:.3f} | {:.3f} |\n", row.answer().p_truth, row.p_predicted());
  }
  if (!table.answers_early()) out += "\n" + depth_sentence(table) + "\n";
  return out;
}

std::string json_text(const ExitTable& table) {
  using nlohmann::json;
  const ExitSummary s = summarize(table);
  json rows = json::array();
  for (const ExitRow& row : table.rows) {
    json layers = json::array();
    for (const LayerGuess& guess : row.layers) {
      json best = json::array();
      for (const auto& c : guess.best)
        best.push_back({{"token", c.token}, {"text", json_word(c.text)}, {"p", c.p}});
      layers.push_back({{"best", best}, {"p_truth", guess.p_truth}, {"score", guess.score}});
    }
    rows.push_back({{"token", row.token},
                    {"truth", json_word(row.truth)},
                    {"predicted", json_word(row.predicted())},
                    {"right", row.right},
                    {"layer", table.layers[row.exit]},
                    {"confident", row.confident},
                    {"layers", layers}});
  }
  const json out = {{"run", table.run},
                    {"source", table.source},
                    {"text", json_word(table.text())},
                    {"layers", table.layers},
                    {"thresholds", table.thresholds},
                    {"answers", s.answers},
                    {"right", s.right},
                    {"fallback", s.fallback},
                    {"accuracy", s.accuracy},
                    {"mean_nats", s.mean_nats},
                    {"mean_layers", s.mean_layers},
                    {"rows", rows}};
  return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace fathom
