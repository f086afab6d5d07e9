// What a model is trained on, as formulas over what its layers say:
//
//   loss = ce [layers=last]; confidence = ln(p_max)/L [layers=0..-2, judge=self_frozen]
//
// A term is a name, an expression and attributes. It is worth the sum over its layers of
//
//   weight * mean over rows of the expression
//
// and the objective, which is minimised, is the sum of its terms. The language of the expressions
// is that of wirings (expression.h); objective_signals.h has what they may name. Besides + - * /
// and >:
//
//   ln(x) exp(x) min(a, b) max(a, b)
//   stop(x)  x without gradient
//   mean(x)  of x over the rows of the whole optimiser step: a number of which a term may be a
//            function, with nothing of single rows beside it
//
// ln(p), ln(1 - p), ln(1 - exp(x)) and their like are made of log-probabilities, and are exact
// where p is near 0 or 1. A factor that is 0 or 1 (halts, p > 0.9) chooses rows: what it leaves out
// may be infinite. Attributes, all of them optional:
//
//   layers=last|all|a..b|[a, b, ...]  numbers, negative ones from the end; last unless it is said
//                                     (of a last layer in a loop each row's last answer alone)
//   weights=[w, ...]                  one for each of the layers; 1 unless it is said
//   reduce=sum|mean                   over layers: mean divides by the sum of the weights
//   per=...                           what the mean divides by (Per)
//   judge=self|self_frozen|next_frozen      whose p and p_max they are (Judge)
//   reach=k                           blocks that the term's gradient goes through (judge=self)
//
// Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/model/spec/objective_signals.h"

namespace fathom {

struct TermRule {
  // Which weights speak: the walk's own; the same once more, frozen, so that the term teaches only
  // what came before; or the next layer's, frozen, asked about this layer's state. `ce` is always
  // the walk's own.
  enum Judge { kSelf, kSelfFrozen, kNextFrozen };
  // What the mean over rows divides by, weighted as the batch says. The first three are known
  // before the walk; of the others each layer has a mean of its own.
  enum Per {
    kTargets,    // rows with a target
    kValid,      // rows of the text, with a target or without: the only terms that reach the latter
    kNext,       // those that a next row of their text follows
    kHasTarget,  // as kTargets, layer by layer
    kAsked,      // of the rows with a target those that had not halted before
    kHalts,      // ... that had not, and halt here
    kSurvives,   // ... that had not, and do not halt here
    kAnswers,    // ... that halt here, or come to the last layer
  };

  std::string name = "loss";
  Expr value = wire::name("ce");
  Judge judge = kSelf;
  Per per = kTargets;
  int64_t reach = 0;  // steps that the gradient goes through, 0: all; with kSelf only
};

// Whether it is a function of means over the step.
bool is_of_means(const Expr& e);
bool is_known_before(TermRule::Per per);
// The signal that says of which rows a layer's own mean is; empty: of all with a target.
const char* choosing_signal(TermRule::Per per);

// Layers of a model of any depth.
struct LayerChoice {
  enum Kind { kLast, kAll, kRange, kList } kind = kLast;
  int64_t from = 0, to = 0;     // of kRange, both included; negative: from the end
  std::vector<int64_t> list;    // of kList
  std::vector<double> weights;  // of the layers in order; empty: 1
};

struct ObjectiveTerm : TermRule {
  LayerChoice layers;
  bool mean = false;  // over layers

  // By layer; 0: not in the term. Throws Error(kUsage) for layers that are not there, and weights
  // that do not fit them.
  std::vector<double> layer_weights(int64_t n_layer) const;
};

struct Objective {
  std::vector<ObjectiveTerm> terms;
};

// A term at its layers. `weights` may be set by hand, as everything else; `value` has to be 0 where
// a row is not of those that the mean divides by.
struct SupervisionTerm : TermRule {
  std::vector<double> weights;  // by layer; 0 and missing: not in the term
  int64_t n_layer = 0;          // L; 0: as many as weights
  // With `reach`: those of the first `reach` steps reach the embeddings as well.
  bool reach_embeddings = false;
  // Of a layer that answers several times, in a loop, each row's last answer alone counts.
  bool last_reading = false;
};
using SupervisionTable = std::vector<SupervisionTerm>;

// Objectives by name, one line each.
struct NamedObjective {
  const char* name;
  const char* text;
  const char* about;
};
const std::vector<NamedObjective>& named_objectives();

// A name of named_objectives(), or a formula. Throws Error(kUsage) with the column for what is
// neither, for names and attributes that there are not, for mixtures of rows and means, and for
// terms that teach nothing.
Objective parse_objective(const std::string& text);
// Canonical: reads back as the same objective.
std::string to_text(const Objective& objective);
// Of the canonical text, 16 hexadecimal digits.
std::string objective_hash(const Objective& objective);

// Throws Error(kUsage) for a term whose gradient its reach cannot stop.
void check_reach(const TermRule& term);

// A term whose mean is of chosen rows (choosing_signal) has what chooses them as a factor. Throws
// Error(kUsage) as layer_weights().
SupervisionTable table_of(const Objective& objective, int64_t n_layer);
// The table of a text: what an experiment may give to its model in place of the configuration's.
SupervisionTable supervision_of(const std::string& text, int64_t n_layer);

// Layers that must answer for the terms to be known: theirs, those before (prev.NAME) and after
// (judge=next_frozen).
std::vector<bool> layers_that_answer(const SupervisionTable& table, int64_t n_layer);

// "survives" or another signal of the table that only a halting rule tells; empty: there is none.
std::string needs_halting(const SupervisionTable& table);

// The value is, whatever ce is, ce times the value with 1 in place of ce, and all else in it is
// known before the layer answers and has no gradient.
bool is_weighted_cross_entropy(const TermRule& term);

}  // namespace fathom
