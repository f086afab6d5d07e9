// What the experiment's own keys say, read out of OwnSettings in one place. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/data/numbers/program.h"
#include "fathom/model/spec/own_settings.h"

namespace fathom::dag {

enum class Executor { kScratch, kStack };
enum class Domain { kLinear, kSignLog };
enum class Fold { kLnScale, kGate };  // dag_mix
enum class Select { kSoft, kGumbel, kGumbelSt, kStArgmax };
enum class Clip { kClamp, kTanh, kNone };
enum class Targets { kToken, kSequence };

struct DagSettings {
  int64_t depth = 4;  // 0: the plain model
  int64_t after = 0;  // layers before the programs; 0: all, and the head alone comes after
  Executor executor = Executor::kScratch;
  Domain domain = Domain::kSignLog;
  Fold fold = Fold::kLnScale;
  double scale = 0.1;  // dag_scale: what the fold's scale begins as
  Select select = Select::kSoft;
  std::vector<Operation> operations;  // dag_ops; by default the executor's
  Clip clip = Clip::kClamp;
  double log_limit = 60;    // of |ln|v||
  double value_limit = 10;  // of the values that the model makes: l = value_limit * tanh(m)
  double softmax_temperature = 20, gumbel_temperature = 2;
  // Gumbel's at the end of training and in evaluations, reached in so many steps; 0: at once.
  double gumbel_temperature_end = 2;
  int64_t temperature_steps = 0;
  double embed_top = 4;    // highest frequency of the result's embedding
  bool pre_block = true;   // scratch: a block before the first slot's value
  bool post_block = true;  // a block over the embedded results
  bool adapter = false;    // a norm in front of the predictor
  Targets targets = Targets::kToken;
  double sign_loss_weight = 1, log_loss_weight = 1, op_loss_weight = 1;
  double plan_loss_weight = 1;  // of the three together, beside the next token's loss
  double lm_loss_weight = 1;    // of the next token's loss

  int64_t slots() const { return depth + 1; }
  // Texts write down a stack's programs. A list begins with one number of its own, which has none
  // of a text's operands to be.
  bool has_labels() const { return depth > 0 && executor == Executor::kStack; }
  // That labels teach anything: of a predictor, whose plan_loss_weight is nobody's, too.
  bool learns_programs(bool predictor) const {
    const bool any = sign_loss_weight > 0 || log_loss_weight > 0 || op_loss_weight > 0;
    return has_labels() && any && (predictor || plan_loss_weight > 0);
  }
};

inline constexpr int64_t kMostDepth = 64;
// Those that a program chooses among where nothing is said.
std::vector<Operation> operations_of(Executor executor);

// The fields, over slots of `own`; `predictor`: of the model that has no head.
void add_fields(FieldList& list, OwnSettings& own, bool predictor);
// All in front of the programs counts as the predictor's (predictor_trunk).
bool has_trunk(const OwnSettings& own);
// Of a configuration whose fields were added. Throws Error(kUsage) for what has no meaning.
DagSettings settings_of(const OwnSettings& own);

}  // namespace fathom::dag
