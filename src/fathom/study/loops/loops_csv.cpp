// Tables of comma-separated values: the ways of tokens, how far states go, and single numbers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <functional>
#include <optional>
#include <utility>

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

// Of one of a text's sequences of states; `begin`: the row's first cells, by the step's number.
void add_convergence(const Convergence& c, const std::function<std::string(size_t)>& begin,
                     std::string& out) {
  for (size_t k = 0; k < c.change.size(); ++k) {
    out += begin(k);
    for (const auto list : {&c.change, &c.relative, &c.angle, &c.norm, &c.drift})
      out += number_cell((*list)[k]);
    out += '\n';
  }
}

// quantity, group, iteration, token, sample, value; what is not there is empty.
class Numbers {
 public:
  using Place = std::optional<int64_t>;

  void add(const char* quantity, Place group, Place iteration, Place token, Place sample,
           double value) {
    out_ += quantity;
    for (const Place& place : {group, iteration, token, sample})
      out_ += place ? fmt::format(",{}", *place) : std::string(",");
    out_ += number_cell(value) + '\n';
  }
  void add(const char* quantity, size_t group, const std::vector<double>& values) {
    for (size_t i = 0; i < values.size(); ++i)
      add(quantity, static_cast<int64_t>(group), {}, {}, static_cast<int64_t>(i), values[i]);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_ = "quantity,group,iteration,token,sample,value\n";
};

}  // namespace

std::string convergence_csv(const LoopFacts& facts) {
  std::string out = "text,group,step,layer,iteration,change,relative,cosine,norm,kl_drift\n";
  for (size_t i = 0; i < facts.texts.size(); ++i) {
    const TextLoops& text = facts.texts[i];
    for (size_t g = 0; g < text.groups.size(); ++g)
      add_convergence(
          text.groups[g].convergence,
          [&](size_t k) { return fmt::format("{},{},,,{}", i, g, k + 1); }, out);
    add_convergence(
        text.global,
        [&](size_t k) {
          if (k >= text.walk.size()) return fmt::format("{},,{},,", i, k + 1);
          const WalkStep& step = text.walk[k];
          return fmt::format("{},,{},{},{}", i, k + 1, step.layer, fmt::join(step.iterations, "."));
        },
        out);
  }
  return out;
}

std::string numbers_csv(const LoopFacts& facts) {
  Numbers numbers;
  for (size_t g = 0; g < facts.shapes.size(); ++g) {
    const LoopShapes& shapes = facts.shapes[g];
    numbers.add("box_dimension", g, shapes.boxes);
    numbers.add("box_dimension_of_run", g, shapes.run_boxes);
    numbers.add("box_dimension_on_axes", g, shapes.axis_boxes);
    numbers.add("box_dimension_of_run_on_axes", g, shapes.axis_run_boxes);
    numbers.add("drift_to_loop", g, shapes.drift);
  }
  for (const LoopJacobian& j : facts.jacobians) {
    const auto g = static_cast<int64_t>(j.group), t = static_cast<int64_t>(j.token);
    numbers.add("spectral_radius", g, j.iteration, t, {}, j.spectral_radius);
    numbers.add("operator_norm", g, j.iteration, t, {}, j.operator_norm);
  }
  for (const LoopSpread& s : facts.spreads) {
    numbers.add("spread_of_states", {}, s.count, {}, {}, s.state);
    numbers.add("spread_of_ln_p", {}, s.count, {}, {}, s.scores);
    numbers.add("spread_kl", {}, s.count, {}, {}, s.kl);
  }
  if (!facts.projections.empty()) {
    const std::vector<double>& ratios = facts.projections.front().pca.ratios;
    for (size_t a = 0; a < ratios.size(); ++a)
      numbers.add("explained_by_axis", {}, {}, {}, static_cast<int64_t>(a + 1), ratios[a]);
  }
  return numbers.take();
}

std::string trajectories_csv(const LoopFacts& facts) {
  std::string out = "text,group,iteration,position,token,norm,change";
  for (size_t a = 0; a < facts.components; ++a) out += fmt::format(",axis{}", a + 1);
  out += '\n';
  for (size_t i = 0; i < facts.texts.size(); ++i)
    for (size_t g = 0; g < facts.texts[i].groups.size(); ++g) add_lines(facts, i, g, out);
  return out;
}

}  // namespace fathom
