#include "fathom/study/tables/exit_table.h"

#include <fmt/format.h>

#include <cmath>

#include "fathom/base/visible.h"

namespace fathom {

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
    layers += table.depth(row.exit);
  }
  const auto n = static_cast<double>(table.rows.size());
  s.accuracy = static_cast<double>(right) / n;
  s.mean_nats = nats / n;
  s.mean_layers = table.answers_early() ? layers / n : table.depth();
  return s;
}

std::string depth_sentence(const ExitTable& table) {
  if (table.answers_early())
    return fmt::format("{:.2f} of {} layers on average", summarize(table).mean_layers,
                       table.depth());
  const int layers = table.depth();
  if (layers == 1) return "no layer answers early: the model has one";
  return fmt::format("no layer answers early: all {} layers are computed for every token", layers);
}

std::string visible_token(const std::string& text) {
  std::string out;
  for (const char c : visible(text)) {
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

}  // namespace fathom
