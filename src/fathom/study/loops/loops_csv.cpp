// The ways of tokens as a table of comma-separated values.
#include <fmt/format.h>

#include <cmath>

#include "fathom/study/loops/loop_facts.h"

namespace fathom {
namespace {

// Nothing for what is not a number.
std::string number_cell(double value) {
  return std::isfinite(value) ? fmt::format(",{}", value) : std::string(",");
}

// RFC 4180.
std::string text_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

// Of one group of one text: the lines of all its states.
void add_lines(const LoopFacts& facts, size_t text, size_t g, std::string& out) {
  const std::vector<DenseMatrix>& states = facts.texts[text].groups[g].states;
  const std::vector<std::string>& tokens = facts.texts[text].tokens;
  const std::vector<DenseMatrix>& places = facts.projections[text].groups[g];
  for (size_t k = 0; k < states.size(); ++k) {
    const DenseMatrix& x = states[k];
    const bool moved = k > 0 && states[k - 1].columns == x.columns;
    for (size_t t = 0; t < x.rows; ++t) {
      out += fmt::format("{},{},{},{},{}", text, g, k, t,
                         text_cell(t < tokens.size() ? tokens[t] : ""));
      out += number_cell(std::sqrt(dot(x.row(t), x.row(t), x.columns)));
      out += number_cell(moved ? distance(x.row(t), states[k - 1].row(t), x.columns) : NAN);
      for (size_t a = 0; a < facts.components; ++a)
        out += number_cell(k > 0 && !places.empty() ? places[k - 1].at(t, a) : NAN);
      out += '\n';
    }
  }
}

}  // namespace

std::string trajectories_csv(const LoopFacts& facts) {
  std::string out = "text,group,iteration,position,token,norm,change";
  for (size_t a = 0; a < facts.components; ++a) out += fmt::format(",axis{}", a + 1);
  out += '\n';
  for (size_t i = 0; i < facts.texts.size(); ++i)
    for (size_t g = 0; g < facts.texts[i].groups.size(); ++g) add_lines(facts, i, g, out);
  return out;
}

}  // namespace fathom
