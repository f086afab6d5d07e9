#include "fathom/model/spec/objective.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

using Op = Expr::Op;

bool has_factor(const Expr& e, std::string_view signal) {
  if (e.op == Op::kName) return e.name == signal;
  if (e.op == Op::kMultiply) return has_factor(e.args[0], signal) || has_factor(e.args[1], signal);
  return e.op == Op::kDivide && has_factor(e.args[0], signal);
}

bool mentions_prev(const Expr& e) {
  return any_name(e, true, [](std::string_view name) { return is_prev(name); });
}

// Degree of the expression in ce, of which all else is known before and constant; -1: none.
int degree(const Expr& e) {
  const auto of = [&](size_t k) { return degree(e.args[k]); };
  switch (e.op) {
    case Op::kNumber:
      return 0;
    case Op::kName:
      if (e.name == "ce") return 1;
      return is_known_before(e) && !learns(e) ? 0 : -1;
    case Op::kAdd:
    case Op::kSubtract:
      return of(0) == of(1) ? of(0) : -1;
    case Op::kMultiply:
      return of(0) < 0 || of(1) < 0 || of(0) + of(1) > 1 ? -1 : of(0) + of(1);
    case Op::kDivide:
      return of(1) == 0 ? of(0) : -1;
    case Op::kGreater:
      return is_known_before(e) ? 0 : -1;
    case Op::kCall:
      if (e.name == "mean") return -1;
      return is_known_before(e) && !learns(e) ? 0 : -1;
    case Op::kAttention:
    case Op::kMlp:
    case Op::kNorm:
    case Op::kFunction:
      break;
  }
  return -1;
}

}  // namespace

void check_reach(const TermRule& term) {
  if (term.judge != TermRule::kSelf)
    misuse(fmt::format("objective: {} has a reach, and a judge that is frozen", escaped(term.name)),
           "a reach is of judge=self: a frozen judge teaches only what came before it");
  const bool more = any_name(term.value, false, [](std::string_view name) {
    const ObjectiveSignal* s = find_signal(bare(name));
    return s != nullptr && s->learns &&
           (is_prev(name) || (name != "ce" && name != "p" && name != "p_max"));
  });
  if (more)
    misuse(fmt::format("objective: {} = {} has a reach, and a gradient by more than ce, p and "
                       "p_max",
                       escaped(term.name), escaped(to_text(term.value))),
           "put the others within stop(), or leave the reach out (reach=1 of all losses is exact "
           "for every signal)");
}

namespace {

// A range between the ends of a model that is not so deep, as 0..-2 of one layer, has no layer.
// Throws Error(kUsage) for another one that has none.
bool is_empty_range(const ObjectiveTerm& term, int64_t n_layer) {
  const LayerChoice& layers = term.layers;
  const auto from_end = [&](int64_t layer) { return layer < 0 ? layer + n_layer : layer; };
  if (from_end(layers.from) <= from_end(layers.to)) return false;
  const bool between_ends = layers.from >= 0 && layers.to < 0;
  if (between_ends && layers.from <= n_layer && layers.to >= -n_layer - 1) return true;
  misuse(fmt::format("objective: {} has layers={}..{}, which of {} layers are none",
                     escaped(term.name), layers.from, layers.to, n_layer),
         between_ends
             ? fmt::format("layers are 0 to {}, or -1 to {} from the end", n_layer - 1, -n_layer)
             : "a range runs from an earlier layer to a later one, such as 0..-2");
}

}  // namespace

bool is_of_means(const Expr& e) {
  if (e.op == Op::kCall && e.name == "mean") return true;
  return std::any_of(e.args.begin(), e.args.end(), is_of_means);
}

bool is_known_before(TermRule::Per per) {
  return per == TermRule::kTargets || per == TermRule::kValid || per == TermRule::kNext;
}

const char* choosing_signal(TermRule::Per per) {
  switch (per) {
    case TermRule::kAsked:
      return "asked";
    case TermRule::kHalts:
      return "halts";
    case TermRule::kSurvives:
      return "survives";
    case TermRule::kAnswers:
      return "answers";
    case TermRule::kTargets:
    case TermRule::kValid:
    case TermRule::kNext:
    case TermRule::kHasTarget:
      break;
  }
  return "";
}

std::vector<double> ObjectiveTerm::layer_weights(int64_t n_layer) const {
  const auto from_end = [&](int64_t layer) { return layer < 0 ? layer + n_layer : layer; };
  const auto place = [&](int64_t i, int64_t layer) {
    if (i < 0 || i >= n_layer)
      misuse(fmt::format("objective: {} is of layer {}, and n_layer = {}", escaped(name), layer,
                         n_layer),
             fmt::format("layers are 0 to {}, or -1 to {} from the end", n_layer - 1, -n_layer));
    return i;
  };
  std::vector<int64_t> chosen;
  switch (layers.kind) {
    case LayerChoice::kLast:
      chosen = {n_layer - 1};
      break;
    case LayerChoice::kAll:
      chosen.resize(static_cast<size_t>(n_layer));
      std::iota(chosen.begin(), chosen.end(), 0);
      break;
    case LayerChoice::kRange:
      if (is_empty_range(*this, n_layer)) break;
      chosen.resize(static_cast<size_t>(place(from_end(layers.to), layers.to) -
                                        place(from_end(layers.from), layers.from) + 1));
      std::iota(chosen.begin(), chosen.end(), from_end(layers.from));
      break;
    case LayerChoice::kList:
      for (const int64_t layer : layers.list) chosen.push_back(place(from_end(layer), layer));
      break;
  }
  if (!layers.weights.empty() && layers.weights.size() != chosen.size())
    misuse(fmt::format("objective: {} has {} weights for {} layers", escaped(name),
                       layers.weights.size(), chosen.size()),
           "give one for each of its layers");
  std::vector<double> weights(static_cast<size_t>(n_layer), 0.0);
  for (size_t k = 0; k < chosen.size(); ++k) {
    double& weight = weights[static_cast<size_t>(chosen[k])];
    if (weight != 0)
      misuse(fmt::format("objective: {} has layer {} twice", escaped(name), chosen[k]),
             "name it once");
    weight = layers.weights.empty() ? 1.0 : layers.weights[k];
  }
  if (!mean) return weights;
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (total == 0 && !chosen.empty())
    misuse(fmt::format("objective: the weights of {} are 0 together, and reduce=mean divides by "
                       "their sum",
                       escaped(name)),
           "take reduce=sum");
  for (double& weight : weights) weight /= chosen.empty() ? 1 : total;
  return weights;
}

SupervisionTable table_of(const Objective& objective, int64_t n_layer) {
  SupervisionTable table;
  for (const ObjectiveTerm& term : objective.terms) {
    SupervisionTerm out;
    static_cast<TermRule&>(out) = term;
    out.weights = term.layer_weights(n_layer);
    out.n_layer = n_layer;
    out.last_reading = term.layers.kind == LayerChoice::kLast;
    // A mean over chosen rows is a sum over them; one of means chooses its rows itself.
    const std::string chosen = choosing_signal(term.per);
    if (!chosen.empty() && !is_of_means(term.value) && !has_factor(term.value, chosen))
      out.value = out.value * wire::name(chosen);
    table.push_back(std::move(out));
  }
  return table;
}

SupervisionTable supervision_of(const std::string& text, int64_t n_layer) {
  return table_of(parse_objective(text), n_layer);
}

std::vector<bool> layers_that_answer(const SupervisionTable& table, int64_t n_layer) {
  const auto L = static_cast<size_t>(n_layer);
  std::vector<bool> answers(L, false);
  for (const SupervisionTerm& term : table) {
    const bool reads_prev = needs_previous(term.value) || mentions_prev(term.value);
    const bool reads_all = needs_all_before(term.value);
    for (size_t i = 0; i < L && i < term.weights.size(); ++i) {
      if (term.weights[i] == 0) continue;
      answers[i] = true;
      if (reads_prev && i > 0) answers[i - 1] = true;
      if (term.judge == TermRule::kNextFrozen && i + 1 < L) answers[i + 1] = true;
      for (size_t j = 0; reads_all && j < i; ++j) answers[j] = true;
    }
  }
  return answers;
}

std::string needs_halting(const SupervisionTable& table) {
  for (const SupervisionTerm& term : table) {
    for (const ObjectiveSignal& s : objective_signals())
      if (s.halting && mentions(term.value, s.name)) return s.name;
    if (term.per == TermRule::kHalts) return "halts";
    if (term.per == TermRule::kSurvives) return "survives";
  }
  return "";
}

bool is_weighted_cross_entropy(const TermRule& term) {
  return term.judge == TermRule::kSelf && term.reach == 0 && term.per != TermRule::kValid &&
         term.per != TermRule::kNext && degree(term.value) == 1;
}

}  // namespace fathom
