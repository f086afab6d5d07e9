// Which trained model a verb works with: what eval, generate, trace and their like share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/model/spec/model_config.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {

// Which model to load, where to run it, and when its tokens halt.
struct ModelChoice {
  std::string run;                  // a run's name or folder
  std::string checkpoint = "auto";  // best, last, a path; auto: best where there is one
  std::string device = "auto";
  int64_t threads = 0;
  std::optional<double> threshold;  // in place of the trained one; unset: that one
  FloatList thresholds;             // one per layer; empty: none
  std::string policy;               // settings of a pass, "key=value, ..."; empty: as trained
  std::string folder;               // of the checkpoint, settled
};
void add_fields(FieldList& list, ModelChoice& choice);
// `policy`, of verbs that make one kind of pass.
void add_policy_field(FieldList& list, ModelChoice& choice);
// The choice's settings and thresholds in place of the configuration's. Throws Error(kUsage) for
// settings that are no matter of one pass or do not fit the model, and thresholds if nothing halts.
void apply_thresholds(const ModelChoice& choice, ModelConfig& config);
// Refuses a model that answers something else than the next token, as its checkpoint says. `verb`
// is for the message.
void require_next_token(const ModelChoice& choice, const std::string& verb);
// Refuses loops that draw a count for each sequence of an evaluation, as the choice's settings have
// it: a text is asked at one depth.
void require_no_draws(const ModelChoice& choice);
// Finds the checkpoint's folder. Throws Error(kUsage) when there is none.
void settle(ModelChoice& choice);

// The checkpoint's configuration and vocabulary, once its folder is settled. Refuses thresholds
// where nothing halts and a model that this machine cannot hold.
RunState settle_state(const ModelChoice& choice);
// What is said about the keys that were given: those of other programs, and those without effect.
std::vector<std::string> notices_of(const FieldList& list);

}  // namespace fathom
