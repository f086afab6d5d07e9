// Terms of an objective spelled out by what they are made of, so that every one of them can be gone
// through; the formula that each of them is follows from that.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fathom/model/spec/objective.h"

namespace fathom::testing {

// weight * gate * multiplier * transform(p), summed over the rows with a target.
struct SpelledTerm {
  enum Signal { kTarget, kMax };
  enum Transform { kNegLog, kNegLogOneMinus, kProbability };
  enum Gate { kEvery, kAsked, kHalts, kStays };
  enum Multiplier { kOne, kCrossEntropy };
  enum Denominator { kTargets, kGated };
  using Judge = SupervisionTerm::Judge;
  static constexpr Judge kSelf = SupervisionTerm::kSelf, kSelfFrozen = SupervisionTerm::kSelfFrozen,
                         kNextFrozen = SupervisionTerm::kNextFrozen;

  std::string name = "loss";
  Signal signal = kTarget;
  Transform transform = kNegLog;
  Gate gate = kEvery;
  Multiplier multiplier = kOne;
  Judge judge = kSelf;
  Denominator denominator = kTargets;
  std::vector<double> weights = {};
  int64_t reach = 0;

  std::string formula() const {
    const std::string p = signal == kMax ? "p_max" : "p";
    std::string text = p;
    if (transform == kNegLog) text = signal == kTarget && judge == kSelf ? "ce" : "-ln(" + p + ")";
    if (transform == kNegLogOneMinus) text = "-ln(1 - " + p + ")";
    if (multiplier == kCrossEntropy) text = "(" + text + ")*ce";
    if (gate == kAsked) text += "*asked";
    if (gate == kHalts) text += "*halts";
    if (gate == kStays) text += "*survives";
    return text;
  }

  operator SupervisionTerm() const {  // NOLINT(google-explicit-constructor): tables of both
    SupervisionTerm term;
    term.name = name;
    term.value = parse_formula("x = " + formula(), "the test").at(0).value;
    term.judge = judge;
    term.weights = weights;
    term.reach = reach;
    if (denominator == kGated)
      term.per = gate == kEvery   ? SupervisionTerm::kHasTarget
                 : gate == kAsked ? SupervisionTerm::kAsked
                 : gate == kHalts ? SupervisionTerm::kHalts
                                  : SupervisionTerm::kSurvives;
    return term;
  }
};

inline SupervisionTable table_of(const std::vector<SpelledTerm>& terms) {
  return {terms.begin(), terms.end()};
}

inline SpelledTerm spelled_term(std::vector<double> weights) {
  SpelledTerm term;
  term.weights = std::move(weights);
  return term;
}

}  // namespace fathom::testing
